//! What the sensors of the machine measure; see the kernel's hwmon/sysfs-interface.

use std::collections::{BTreeMap, HashMap};

use super::Seen;
use crate::{
    exposition::{self, Exposition, Kind},
    gap::Reader,
};

const CHIPS: &str = "sys/class/hwmon";

/// The kinds of sensors, by the beginnings of their files' names.
const KINDS: &[&str] = &[
    "beep_enable",
    "cpu",
    "curr",
    "energy",
    "fan",
    "freq",
    "humidity",
    "in",
    "intrusion",
    "power",
    "pwm",
    "temp",
    "update_interval",
    "vrm",
];

/// One chip.
#[derive(Debug, Default)]
struct Chip {
    /// `hwmon0`.
    directory: String,
    /// What it is called here: by its device, which keeps its place, else by its own name.
    name: String,
    /// Its own name, such as `coretemp`.
    own: Option<String>,
    sensors: BTreeMap<String, Sensor>,
}

/// One sensor, such as `temp1`.
#[derive(Debug, Default)]
struct Sensor {
    kind: String,
    /// What stands in its files, by the end of their names: `input`, `crit`; empty where the file is called as the sensor is.
    files: BTreeMap<String, String>,
}

/// Samples of a family while all chips are read.
#[derive(Debug)]
struct Samples {
    kind: Kind,
    help: String,
    /// Chip, sensor and figure.
    rows: Vec<(String, String, f64)>,
}

/// Everything that the chips say in numbers, and the names and labels of chips and sensors. A disk's sensor is not asked: that would keep
/// the disk from its sleep.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let directories = seen.reader.names(CHIPS).into_iter().map(|chip| format!("{CHIPS}/{chip}")).collect();
    let mut chips: Vec<Chip> =
        seen.machine.ask_devices(seen.reader, directories, Chip::read).into_iter().flatten().collect();
    chips.sort_by(|a, b| a.directory.cmp(&b.directory));
    tell_apart(&mut chips);
    let help = "The name that each chip has for people.";
    let mut names = page.family("node_hwmon_chip_names", Kind::Gauge, help);
    for chip in &chips {
        let own = chip.own.as_deref().map(clean).filter(|own| !own.is_empty());
        let is_told = own.is_some().then_some(1_u64);
        names.add(&[("chip", &*chip.name), ("chip_name", &own.unwrap_or_default())], is_told);
    }
    drop(names);
    let sensors = || chips.iter().flat_map(|chip| chip.sensors.iter().map(move |(name, sensor)| (chip, name, sensor)));
    let mut labels = page.family("node_hwmon_sensor_label", Kind::Gauge, "The label that each sensor has for people.");
    for (chip, name, sensor) in sensors() {
        if let Some(label) = sensor.files.get("label") {
            labels.add(&[("chip", &*chip.name), ("sensor", name), ("label", label)], 1_u64);
        }
    }
    drop(labels);
    let mut families: BTreeMap<String, Samples> = BTreeMap::new();
    for (chip, name, sensor) in sensors() {
        // of a graphics card each clock is known by its label
        let label = sensor.files.get("label").filter(|_| sensor.kind == "freq").map(|label| clean(label));
        let name = label.as_ref().unwrap_or(name);
        sensor.figures(|family, kind, help, figure| {
            let samples = families.entry(family).or_insert_with(|| Samples { kind, help, rows: vec![] });
            samples.rows.push((chip.name.clone(), name.clone(), figure));
        });
    }
    for (name, Samples { kind, help, rows }) in families {
        let mut family = page.family(name, kind, &help);
        for (chip, sensor, figure) in &rows {
            family.add(&[("chip", chip), ("sensor", sensor)], *figure);
        }
    }
}

impl Chip {
    /// `None`: it is gone, or is not to be asked.
    fn read(reader: &Reader<'_>, directory: &str) -> Option<Self> {
        let own = reader.word(&format!("{directory}/name"));
        if own.as_deref() == Some("drivetemp") {
            return None;
        }
        let mut sensors: BTreeMap<String, Sensor> = BTreeMap::new();
        // in old drivers the files are the device's
        for directory in [directory.to_owned(), format!("{directory}/device")] {
            for file in reader.names(&directory) {
                let Some((kind, number, end)) = parts(&file) else { continue };
                if let Some(word) = reader.word(&format!("{directory}/{file}")) {
                    let sensor = sensors.entry(format!("{kind}{number}")).or_default();
                    sensor.kind = kind.to_owned();
                    sensor.files.insert(end.to_owned(), word);
                }
            }
        }
        let last = directory.rsplit('/').next().unwrap_or(directory);
        let named = || own.as_deref().map(clean).filter(|name| !name.is_empty()).unwrap_or_else(|| clean(last));
        let name = device(reader, directory).unwrap_or_else(named);
        Some(Self { directory: last.to_owned(), name, own, sensors })
    }
}

/// Kind, number and end of the name of a file that is a sensor's.
fn parts(file: &str) -> Option<(&str, u32, &str)> {
    let at = file.find(|c: char| c.is_ascii_digit()).unwrap_or(file.len());
    let (kind, rest) = file.split_at(at);
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = rest.split_at(digits);
    let end = if rest.is_empty() { rest } else { rest.strip_prefix('_')? };
    // what is only to be written cannot be read
    if !KINDS.contains(&kind) || end == "reset_history" {
        return None;
    }
    Some((kind, if number.is_empty() { 0 } else { number.parse().ok()? }, end))
}

/// What the device behind a chip is called: by its bus and its place there. `None`: a chip without a device, or a copy of sysfs, which has no
/// links.
fn device(reader: &Reader<'_>, directory: &str) -> Option<String> {
    let root = reader.root();
    let chip = root.link(directory).ok().flatten()?;
    let device = root.link(&format!("{directory}/device")).ok().flatten()?;
    let mut path: Vec<&str> = vec![];
    for part in CHIPS.split('/').chain(chip.split('/')).chain(device.split('/')) {
        match part {
            "" | "." => (),
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    let (name, bus) = (clean(path.pop()?), clean(path.pop().unwrap_or_default()));
    match (bus.is_empty(), name.is_empty()) {
        (false, false) => Some(format!("{bus}_{name}")),
        (true, false) => Some(name),
        _ => None,
    }
}

/// Several chips of one device have its name, and their own or their number behind it.
fn tell_apart(chips: &mut [Chip]) {
    let mut named: HashMap<String, usize> = HashMap::new();
    let mut alike: HashMap<(String, Option<String>), usize> = HashMap::new();
    for chip in chips.iter() {
        *named.entry(chip.name.clone()).or_default() += 1;
        *alike.entry((chip.name.clone(), chip.own.clone())).or_default() += 1;
    }
    for chip in chips.iter_mut().filter(|chip| named.get(&chip.name).is_some_and(|count| *count > 1)) {
        let is_alone = alike.get(&(chip.name.clone(), chip.own.clone())) == Some(&1);
        let own = chip.own.as_deref().map(clean).filter(|own| is_alone && !own.is_empty());
        chip.name = format!("{}_{}", chip.name, own.unwrap_or_else(|| clean(&chip.directory)));
    }
}

/// In small letters, with an underscore for what no name may have.
fn clean(word: &str) -> String {
    let kept = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, ':' | '_');
    let small = word.to_lowercase();
    let clean: String = small.chars().map(|c| if kept(c) { c } else { '_' }).collect();
    clean.trim_matches('_').to_owned()
}

impl Sensor {
    /// Calls `tell` with the family, its kind and help, and the figure of each file.
    fn figures(&self, mut tell: impl FnMut(String, Kind, String, f64)) {
        let has_own_file = self.files.contains_key("");
        for (end, word) in self.files.iter().filter(|(end, _)| *end != "label") {
            let figure = word.parse::<f64>().ok().filter(|figure| figure.is_finite());
            let Some((end, unit, figure)) = figure.and_then(|figure| self.figure(end, figure, has_own_file)) else {
                continue;
            };
            let family = exposition::name("node_hwmon_", &format!("{}{end}{unit}", self.word()));
            let kind = if self.kind == "energy" && unit == "_joule_total" { Kind::Counter } else { Kind::Gauge };
            let help = format!("Sensors of the kind {}{}.", self.kind, end.replace('_', " "));
            tell(family, kind, help, figure);
        }
    }

    /// What the kind is called in the names of families.
    fn word(&self) -> &str {
        match &*self.kind {
            "beep_enable" => "beep_enabled",
            "vrm" => "voltage_regulator_version",
            kind => kind,
        }
    }

    /// How the file's end and its unit stand in the name of the family, and the figure in that unit. `None`: it is told elsewhere.
    fn figure(&self, end: &str, figure: f64, has_own_file: bool) -> Option<(String, &'static str, f64)> {
        let kind = &*self.kind;
        match kind {
            "beep_enable" => return Some((String::new(), "", f64::from(u8::from(figure == 1.0)))),
            "vrm" => return Some((String::new(), "", figure)),
            "update_interval" => return Some((String::new(), "_seconds", figure / 1e3)),
            _ => (),
        }
        // what is measured has the name of the kind alone
        let name =
            if end.is_empty() || end == "input" && !has_own_file { String::new() } else { format!("_{}", clean(end)) };
        Some(match (kind, end) {
            (_, "fault" | "alarm") => (name, "", figure),
            (_, "beep") => (name, "_enabled", figure),
            ("in" | "cpu", _) => (name, "_volts", figure / 1e3),
            ("temp", end) if end != "type" => (name, "_celsius", figure / 1e3),
            ("curr", _) => (name, "_amps", figure / 1e3),
            ("energy", _) => (name, "_joule_total", figure / 1e6),
            ("power", "accuracy") => (name, "", figure / 1e6),
            ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
                (name, "_seconds", figure / 1e3)
            }
            ("power", _) => (name, "_watt", figure / 1e6),
            ("humidity", _) => (name, "", figure / 1e6),
            ("fan", "input" | "min" | "max" | "target") => (name, "_rpm", figure),
            ("freq", "input") => (name, "_freq_mhz", figure / 1e6),
            _ => (name, "", figure),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    #[test]
    fn files_have_kind_number_and_end() {
        assert_eq!(parts("temp1_crit_alarm"), Some(("temp", 1, "crit_alarm")));
        assert_eq!(parts("pwm2"), Some(("pwm", 2, "")));
        assert_eq!(parts("update_interval"), Some(("update_interval", 0, "")));
        for file in ["temp1_reset_history", "name", "device", "temperature", "tempx1", "in1x", "fan4294967296_input"] {
            assert_eq!(parts(file), None, "{file}");
        }
    }

    #[test]
    fn sensors_are_told_in_base_units_under_the_names_of_their_devices() {
        let chip = "sys/devices/platform/Core-temp.0/hwmon/hwmon0";
        let file = |name: &str| format!("{chip}/{name}");
        let files = [
            ("name", "coretemp"),
            ("temp1_input", "42500"),
            ("temp1_crit", "100000"),
            ("temp1_label", "Package id 0"),
            ("temp1_crit_alarm", "0"),
            ("fan1_input", "900"),
            ("in0_input", "1212"),
            ("power1_average", "15000000"),
            ("pwm1", "128"),
            ("temp2_input", "many"),
        ];
        let files = files.map(|(name, text)| (file(name), text));
        let tree = Tree::new(&files.each_ref().map(|(name, text)| (name.as_str(), *text)));
        std::fs::create_dir_all(tree.path().join("sys/class/hwmon")).unwrap();
        tree.link(&format!("../../../{chip}"), "sys/class/hwmon/hwmon0");
        tree.link("../../../Core-temp.0", &file("device"));
        let page = tree.page(expose);
        let at = |sensor: &str| format!("{{chip=\"platform_core_temp_0\",sensor=\"{sensor}\"}}");
        for line in [
            format!("node_hwmon_temp_celsius{} 42.5", at("temp1")),
            format!("node_hwmon_temp_crit_celsius{} 100", at("temp1")),
            format!("node_hwmon_temp_crit_alarm_celsius{} 0", at("temp1")),
            format!("node_hwmon_fan_rpm{} 900", at("fan1")),
            format!("node_hwmon_in_volts{} 1.212", at("in0")),
            format!("node_hwmon_power_average_watt{} 15", at("power1")),
            format!("node_hwmon_pwm{} 128", at("pwm1")),
            "node_hwmon_chip_names{chip=\"platform_core_temp_0\",chip_name=\"coretemp\"} 1".to_owned(),
            "node_hwmon_sensor_label{chip=\"platform_core_temp_0\",sensor=\"temp1\",label=\"Package id 0\"} 1"
                .to_owned(),
        ] {
            assert!(page.contains(&format!("\n{line}\n")), "{line}\n{page}");
        }
        assert!(!page.contains("temp2"), "{page}");
    }

    #[test]
    fn chips_of_one_device_are_told_apart_and_a_disk_is_left_to_its_sleep() {
        let tree = Tree::new(&[
            ("sys/class/hwmon/hwmon0/name", "nct"),
            ("sys/class/hwmon/hwmon0/temp1_input", "1000"),
            ("sys/class/hwmon/hwmon1/name", "nct"),
            ("sys/class/hwmon/hwmon1/temp1_input", "2000"),
            ("sys/class/hwmon/hwmon2/name", "drivetemp"),
            ("sys/class/hwmon/hwmon2/temp1_input", "3000"),
        ]);
        let page = tree.page(expose);
        for line in ["chip=\"nct_hwmon0\",sensor=\"temp1\"} 1\n", "chip=\"nct_hwmon1\",sensor=\"temp1\"} 2\n"] {
            assert!(page.contains(line), "{page}");
        }
        assert!(!page.contains("drivetemp"), "{page}");
    }
}
