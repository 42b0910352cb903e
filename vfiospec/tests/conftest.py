# SPDX-License-Identifier: MIT
"""What holds for the tests of the project itself."""

import hypothesis

# Machines are shared: how long an example takes says nothing about what it is an example of.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")
