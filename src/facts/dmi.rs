//! What the firmware says of the machine (DMI). Serial numbers are not told: they are root's to read, and they name one machine for ever.

use super::Seen;
use crate::exposition::{Exposition, Kind};

/// The kernel's files, and the labels of which these are the values.
const FILES: &[(&str, &str)] = &[
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_name", "board_name"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_sku", "product_sku"),
    ("product_version", "product_version"),
    ("sys_vendor", "system_vendor"),
];

/// All of it in one sample.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let word = |file: &str| seen.reader.word(&format!("sys/class/dmi/id/{file}"));
    let values: Vec<(&str, String)> =
        FILES.iter().filter_map(|(file, label)| word(file).map(|value| (*label, value))).collect();
    if !values.is_empty() {
        let labels: Vec<(&str, &str)> = values.iter().map(|(label, value)| (*label, value.as_str())).collect();
        page.family("node_dmi_info", Kind::Gauge, "What the firmware says of the machine.").add(&labels, 1_u64);
    }
}
