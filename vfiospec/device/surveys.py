# SPDX-License-Identifier: MIT
"""All groups of calls that are made in each way, each with the rule that says they are alike."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vfiospec.device import survey as device
from vfiospec.device import survey_containers as containers
from vfiospec.device import survey_irqs as irqs
from vfiospec.device import survey_mappings as mappings
from vfiospec.device.access import Access
from vfiospec.device.port import Port, Step
from vfiospec.device.survey import Answers, Subject, Survey
from vfiospec.device.ways import IN_GROUP, Way
from vfiospec.rules import ways as rules
from vfiospec.rules.model import Rule

# In the order they are made: the last one closes the device.
GROUPS: Final[dict[Rule, Survey]] = {
    rules.DEVICE_INFO: device.device_info,
    rules.REGION_INFO: device.region_info,
    rules.IRQ_INFO: device.irq_info,
    rules.CONFIG_SPACE: device.config_space,
    rules.IOCTLS: device.other_ioctls,
    rules.MMAP: device.mapped_regions,
    rules.SET_IRQS: irqs.set_irqs,
    rules.FEATURES: device.features,
    rules.RESET: device.reset,
    rules.RANGES: mappings.iova_ranges,
    rules.MAP: mappings.map_dma,
    rules.MAP_BAR: mappings.map_bar,
    rules.UNMAP: mappings.unmap_dma,
    rules.DMA: mappings.dma,
    rules.INFO: containers.container_info,
    rules.CALLS: containers.container_calls,
    rules.CLOSE: device.reopened,
}
OF_CONTAINERS: Final = (rules.INFO, rules.CALLS)  # asked of what is, or stands for, one


@dataclass(frozen=True)
class Surveyed:
    """What one group of calls gave in one way, and the steps from reaching the device on."""

    answers: Answers
    steps: tuple[Step, ...]


def survey(way: Way, attach: Callable[[], Access], bdf: str, port: Port) -> dict[Rule, Surveyed]:
    """Reach a device, make all calls, and leave it."""
    made: dict[Rule, tuple[Answers, list[Step]]] = {}
    start = len(port.steps)
    access = attach()
    try:
        device = access.open(bdf)
        opening = port.steps[start:]
        subject = Subject(way, access, device, bdf, port.hello.page_size)
        try:
            for rule, calls in GROUPS.items():
                if rule in OF_CONTAINERS and way not in IN_GROUP:
                    continue
                before = len(port.steps)
                answers = dict(calls(subject))
                made[rule] = (answers, port.steps[before:])
        except BaseException:
            device.close()
            raise
    finally:
        before = len(port.steps)
        access.close()
    closing = port.steps[before:]
    return {
        rule: Surveyed(answers, (*opening, *steps, *closing))
        for rule, (answers, steps) in made.items()
    }
