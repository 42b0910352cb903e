# SPDX-License-Identifier: MIT
"""Edits of the newest user headers: such as break programs, with the rules, and harmless ones."""

from dataclasses import dataclass
from pathlib import Path

from vfiospec.rules import layout as rules
from vfiospec.rules.model import Rule

VFIO, ZDEV, IOMMUFD = "linux/vfio.h", "linux/vfio_zdev.h", "linux/iommufd.h"


@dataclass(frozen=True)
class Edit:
    """In the header, behind the words `within`, replace by something else; rules it breaks."""

    name: str
    within: str
    replace: str
    by: str
    broken: tuple[Rule, ...] = ()
    header: str = VFIO

    def apply(self, folder: Path) -> None:
        """Edit the copy of the headers in folder; AssertionError if the words are not there."""
        path = folder / self.header
        text = path.read_text()
        assert self.within in text, self.within
        begin = text.index(self.within)
        assert self.replace in text[begin:], self.replace
        path.unlink()  # it may be a link to the file of others
        path.write_text(text[:begin] + text[begin:].replace(self.replace, self.by, 1))


IRQ_INFO = "struct vfio_irq_info {"
REGION_INFO = "struct vfio_region_info {"
GFX = "struct vfio_device_gfx_plane_info {"
MIG_STATE = "struct vfio_device_feature_mig_state {"
MIG_ENUM = "enum vfio_device_mig_state {"
GET_IRQ_INFO = "#define VFIO_DEVICE_GET_IRQ_INFO"
LAST_FEATURE = "#define VFIO_DEVICE_FEATURE_ZPCI_ERROR 13\n"
IRQ_INDEXES = "\tVFIO_PCI_INTX_IRQ_INDEX,\n"

BREAKS = (
    Edit(
        "a field in the middle", IRQ_INFO, "\t__u32\tcount;",
        "\t__u32\tcap_offset;\n\t__u32\tcount;", (rules.FIELD_INSERTED,),
    ),
    Edit(
        "a field before a union", GFX, "\tunion {", "\t__u32 modifier;\n\tunion {",
        (rules.FIELD_INSERTED,),
    ),
    Edit(
        "a field before the array at the end", "struct vfio_irq_set {", "\t__u8\tdata[];",
        "\t__u32\tsubindex;\n\t__u8\tdata[];", (rules.FIELD_INSERTED,),
    ),
    Edit(
        "two fields swapped", REGION_INFO,
        "\t__aligned_u64\tsize;\t/* Region size (bytes) */\n\t__aligned_u64\toffset;",
        "\t__aligned_u64\toffset;\n\t__aligned_u64\tsize;", (rules.FIELD_MOVED,),
    ),
    Edit(
        "moved by an alignment attribute", IRQ_INFO, "\t__u32\tcount;",
        "\t__u32\tcount __attribute__((aligned(8)));",
        (rules.FIELD_MOVED, rules.ALIGNMENT),
    ),
    Edit(
        "a wider field", "struct vfio_pci_dependent_device {", "\t__u16\tsegment;",
        "\t__u32\tsegment;", (rules.FIELD_RESIZED,),
    ),
    Edit(
        "a narrower field in place", "struct vfio_info_cap_header {", "\t__u16\tversion;",
        "\t__u8\tversion;", (rules.FIELD_RESIZED,),
    ),
    Edit(
        "a wider field at the tail", IRQ_INFO, "\t__u32\tcount;", "\t__aligned_u64\tcount;",
        (rules.FIELD_RESIZED, rules.ALIGNMENT),
    ),
    Edit(
        "a member of a union that outgrows it", "struct vfio_pci_dependent_device {",
        "\t\t__u32\tdevid;", "\t\t__aligned_u64\tdevid;",
        (rules.FIELD_RESIZED, rules.ALIGNMENT, rules.FIELD_MOVED),
    ),
    Edit(
        "another sign", "struct vfio_device_ioeventfd {", "\t__s32\tfd;", "\t__u32\tfd;",
        (rules.FIELD_RETYPED,),
    ),
    Edit(
        "another sign of elements", "struct vfio_pci_hot_reset {", "\t__s32\tgroup_fds[];",
        "\t__u32\tgroup_fds[];", (rules.FIELD_RETYPED,),
    ),
    Edit(
        "a pointer instead of an address", "struct vfio_device_bind_iommufd {",
        "\t__aligned_u64\ttoken_uuid_ptr;", "\tvoid *token_uuid_ptr;",
        (rules.FIELD_RETYPED, rules.FIELD_RESIZED, rules.ALIGNMENT, rules.SAME_FOR_I386),
    ),
    Edit(
        "another byte order", IRQ_INFO, "\t__u32\tcount;", "\t__be32\tcount;",
        (rules.FIELD_RETYPED,),
    ),
    Edit(
        "an array instead of a number", MIG_STATE, "\t__u32 device_state;",
        "\t__u8 device_state[4];", (rules.FIELD_RETYPED,),
    ),
    Edit(
        "a field removed", "struct vfio_device_info {", "\t__u32\tnum_irqs;", "",
        (rules.FIELD_REMOVED,),
    ),
    Edit(
        "the last field removed", "struct vfio_device_bind_iommufd {",
        "\t__aligned_u64\ttoken_uuid_ptr;", "", (rules.FIELD_REMOVED, rules.ALIGNMENT),
    ),
    Edit(
        "a field renamed", IRQ_INFO, "\t__u32\tcount;", "\t__u32\tnr;", (rules.FIELD_REMOVED,)
    ),
    Edit(
        "growth without argsz", MIG_STATE, "\t__s32 data_fd;", "\t__s32 data_fd;\n\t__u32 more;",
        (rules.TAIL_GROWTH,),
    ),
    Edit(
        "growth of an array's element", "struct vfio_iova_range {", "\t__u64\tend;",
        "\t__u64\tend;\n\t__u64\tflags;", (rules.TAIL_GROWTH,),
    ),
    Edit(
        "a tail field that no flag tells of", IRQ_INFO, "\t__u32\tcount;",
        "\t__u32\tcount;\n\t__u32\tcap_offset;", (rules.TAIL_FLAG,),
    ),
    Edit(
        "reserved bytes that no flag tells of", GFX, "\t__u32 reserved;", "\t__u32 modifier;",
        (rules.RESERVED_BYTES,),
    ),
    Edit(
        "padding that nothing tells of", "struct vfio_device_info_cap_zpci_group {",
        "\t__u16 imaxstbl;", "\t__u16 imaxstbl;\n\t__u16 more;", (rules.RESERVED_BYTES,), ZDEV,
    ),
    Edit(
        "packed", IRQ_INFO, "\n};", "\n} __attribute__((packed));", (rules.ALIGNMENT,)
    ),
    Edit(
        "a larger alignment", MIG_STATE, "\n};", "\n} __attribute__((aligned(16)));",
        (rules.STRUCT_SIZE, rules.ALIGNMENT),
    ),
    Edit(
        "an alignment that only i386 programs see", REGION_INFO,
        "\t__aligned_u64\tsize;\t/* Region size (bytes) */\n\t__aligned_u64\toffset;",
        "\t__u64\tsize;\n\t__u64\toffset;", (rules.ALIGNMENT,),
    ),
    Edit(
        "fields that only i386 programs see move", "struct vfio_device_bind_iommufd {",
        "\t__u32\t\tout_devid;\n\t__aligned_u64\ttoken_uuid_ptr;",
        "\t__u32\t\tout_devid;\n\t__u64\ttoken_uuid_ptr;", (rules.ALIGNMENT,),
    ),
    Edit(
        "a new structure that is another one for i386", LAST_FEATURE, LAST_FEATURE,
        LAST_FEATURE
        + "struct vfio_new {\n\t__u32 argsz;\n\t__u32 flags;\n\t__u32 index;\n\t__u64 at;\n};\n",
        (rules.SAME_FOR_I386,),
    ),
    Edit(
        "a structure removed", "", "struct vfio_device_feature_mig_data_size {\n"
        "\t__aligned_u64 stop_copy_length;\n};", "", (rules.STRUCT_REMOVED,),
    ),
    Edit(
        "an ioctl renumbered", GET_IRQ_INFO, "VFIO_BASE + 9", "VFIO_BASE + 29",
        (rules.IOCTL_NUMBER,),
    ),
    Edit(
        "an ioctl that encodes a size", GET_IRQ_INFO, "_IO(VFIO_TYPE, VFIO_BASE + 9)",
        "_IOWR(VFIO_TYPE, VFIO_BASE + 9, struct vfio_irq_info)", (rules.IOCTL_SIZE,),
    ),
    Edit(
        "a new ioctl that encodes a size", LAST_FEATURE, LAST_FEATURE,
        LAST_FEATURE + "#define VFIO_DEVICE_NEW _IOR(VFIO_TYPE, VFIO_BASE + 23, __u64)\n",
        (rules.IOCTL_SIZE,),
    ),
    Edit(
        "an ioctl of iommufd renumbered", "", "IOMMUFD_CMD_IOAS_COPY = 0x83",
        "IOMMUFD_CMD_IOAS_COPY = 0x96", (rules.ENUM_SHIFTED, rules.IOCTL_NUMBER), IOMMUFD,
    ),
    Edit(
        "a flag with another bit", IRQ_INFO, "VFIO_IRQ_INFO_NORESIZE\t\t(1 << 3)",
        "VFIO_IRQ_INFO_NORESIZE\t\t(1 << 5)", (rules.CONSTANT_VALUE,),
    ),
    Edit(
        "a string that changed", "", 'API_PCI_STRING\t\t"vfio-pci"', 'API_PCI_STRING "pci"',
        (rules.CONSTANT_VALUE,),
    ),
    Edit(
        "a bit given to a second flag", IRQ_INFO, "\t__u32\tindex;",
        "#define VFIO_IRQ_INFO_FLAG_CAPS (1 << 3)\n\t__u32\tindex;", (rules.VALUE_REUSED,),
    ),
    Edit(
        "a bit taken from one flag for another", IRQ_INFO, "VFIO_IRQ_INFO_NORESIZE\t",
        "VFIO_IRQ_INFO_FLAG_CAPS\t", (rules.VALUE_REUSED,),
    ),
    Edit(
        "a feature number used twice", LAST_FEATURE, LAST_FEATURE,
        LAST_FEATURE + "#define VFIO_DEVICE_FEATURE_NEW 11\n", (rules.VALUE_REUSED,),
    ),
    Edit(
        "a name removed", "", "#define VFIO_NOIOMMU_IOMMU\t\t8\n", "", (rules.CONSTANT_REMOVED,)
    ),
    Edit(
        "an index in the fixed range of interrupts", IRQ_INDEXES, "\tVFIO_PCI_NUM_IRQS",
        "\tVFIO_PCI_NEW_IRQ_INDEX,\n\tVFIO_PCI_NUM_IRQS", (rules.FIXED_RANGE,),
    ),
    Edit(
        "an index in the fixed range of regions", "", "\tVFIO_PCI_NUM_REGIONS = 9",
        "\tVFIO_PCI_NEW_REGION_INDEX,\n\tVFIO_PCI_NUM_REGIONS = 10", (rules.FIXED_RANGE,),
    ),
    Edit(
        "a state in the middle of an enum", MIG_ENUM, "\tVFIO_DEVICE_STATE_PRE_COPY = 6",
        "\tVFIO_DEVICE_STATE_NEW = 6,\n\tVFIO_DEVICE_STATE_PRE_COPY = 7", (rules.ENUM_SHIFTED,),
    ),
    Edit(
        "indexes in another order", "", "\tVFIO_PCI_INTX_IRQ_INDEX,\n\tVFIO_PCI_MSI_IRQ_INDEX,",
        "\tVFIO_PCI_MSI_IRQ_INDEX,\n\tVFIO_PCI_INTX_IRQ_INDEX,", (rules.ENUM_SHIFTED,),
    ),
)  # fmt: skip

HARMLESS = (
    Edit("a comment", "", "/* IRQ index */", "/* Which interrupt, of num_irqs */"),
    Edit(
        "a tail field with its flag", IRQ_INFO,
        "\t__u32\tindex;\t\t/* IRQ index */\n\t__u32\tcount;",
        "#define VFIO_IRQ_INFO_FLAG_CAPS (1 << 4)\n\t__u32\tindex;\n\t__u32\tcount;\n"
        "\t__u32\tcap_offset;",
    ),
    Edit(
        "reserved bytes with their flag", GFX, "\t__u32 reserved;",
        "#define VFIO_GFX_PLANE_TYPE_NEW (1 << 3)\n\t__u32 modifier;",
    ),
    Edit(
        "a feature with its structure", LAST_FEATURE, LAST_FEATURE,
        LAST_FEATURE + "struct vfio_device_feature_new {\n\t__aligned_u64 size;\n};\n"
        "#define VFIO_DEVICE_FEATURE_NEW 14\n",
    ),
    Edit(
        "a new ioctl", LAST_FEATURE, LAST_FEATURE,
        LAST_FEATURE + "#define VFIO_DEVICE_NEW _IO(VFIO_TYPE, VFIO_BASE + 22)\n",
    ),
    Edit(
        "a new flag", IRQ_INFO, "\t__u32\tindex;",
        "#define VFIO_IRQ_INFO_NEW (1 << 4)\n\t__u32\tindex;",
    ),
    Edit("another name of a type", IRQ_INFO, "\t__u32\tcount;", "\tunsigned int\tcount;"),
    Edit(
        "a value written otherwise", IRQ_INFO, "VFIO_IRQ_INFO_NORESIZE\t\t(1 << 3)",
        "VFIO_IRQ_INFO_NORESIZE\t\t0x8u",
    ),
    Edit(
        "a tail field of a command", "struct iommu_ioas_alloc {", "\t__u32 out_ioas_id;",
        "\t__u32 out_ioas_id;\n\t__u32 node;", header=IOMMUFD,
    ),
    Edit(
        "reserved bytes of a command", "struct iommu_ioas_map {", "\t__u32 __reserved;",
        "\t__u32 node;", header=IOMMUFD,
    ),
    Edit(
        "a new value at the end of an enum", "enum iommu_hw_info_type {",
        "\tIOMMU_HW_INFO_TYPE_AMD = 4,", "\tIOMMU_HW_INFO_TYPE_AMD = 4,\n\tIOMMU_HW_INFO_TYPE_NEW,",
        header=IOMMUFD,
    ),
    Edit("a count that is pinned", IRQ_INDEXES, "\tVFIO_PCI_NUM_IRQS", "\tVFIO_PCI_NUM_IRQS = 5"),
    Edit(
        "padding that gets a name", "struct vfio_device_info_cap_zpci_group {", "\t__u16 imaxstbl;",
        "\t__u16 imaxstbl;\n\t__u16 reserved2;", header=ZDEV,
    ),
    Edit(
        "a second name for a field", IRQ_INFO, "\t__u32\tcount;",
        "\tunion {\n\t\t__u32\tcount;\n\t\t__u32\tnum_vectors;\n\t};",
    ),
)  # fmt: skip
