#!/bin/sh
# SPDX-License-Identifier: MIT
set -eu
cd ../..
make setup
out=$TMT_TEST_DATA/run
# shellcheck disable=SC2086 # OPTIONS are several words
.venv/bin/vfiospec run --kernel "$KERNEL" --out "$out" $OPTIONS || test $? -le 2
.venv/bin/vfiospec report tmt "$out" --output "$TMT_TEST_DATA/results.yaml"
