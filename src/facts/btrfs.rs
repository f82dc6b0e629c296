//! The btrfs filesystems that are mounted, and the devices that they are made of.

use super::{Seen, problem::Problems};
use crate::{
    exposition::{Exposition, Kind},
    gap::Reader,
};
use kernel::proc::btrfs_error_stats::BtrfsErrorStats;

const DIRECTORY: &str = "sys/fs/btrfs";

/// A mounted btrfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Btrfs {
    /// Its UUID.
    pub uuid: String,
    /// The name that it was given.
    pub label: Option<String>,
    /// The kernel's names of those of its devices that are there.
    pub blocks: Vec<String>,
    /// Its devices, since Linux 5.6.
    pub devices: Vec<Device>,
}

/// One of its devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number in the filesystem.
    pub id: u64,
    /// Whether it is not there.
    pub missing: Option<bool>,
    /// What went wrong on it, since Linux 5.14.
    pub errors: Option<BtrfsErrorStats>,
}

/// All of them.
pub fn read(reader: &Reader<'_>) -> Vec<Btrfs> {
    let names = reader.names(DIRECTORY).into_iter();
    // beside them stands what this kernel can do
    names.filter(|name| name.len() == 36 && name.contains('-')).map(|uuid| Btrfs::read(reader, uuid)).collect()
}

impl Btrfs {
    fn read(reader: &Reader<'_>, uuid: String) -> Self {
        let directory = format!("{DIRECTORY}/{uuid}");
        let devices = reader.names(&format!("{directory}/devinfo")).into_iter();
        let mut devices: Vec<Device> = devices.filter_map(|id| Device::read(reader, &directory, &id)).collect();
        devices.sort_by_key(|device| device.id);
        Self {
            label: reader.word(&format!("{directory}/label")),
            blocks: reader.names(&format!("{directory}/devices")),
            devices,
            uuid,
        }
    }

    /// What is wrong with it. `name`: where it is mounted.
    pub fn problems(&self, name: Option<&str>, problems: &mut Problems) {
        let name = name.or(self.label.as_deref()).unwrap_or(&self.uuid);
        let missing = self.devices.iter().filter(|device| device.missing == Some(true)).count();
        if missing > 0 {
            let is = if missing == 1 { "is" } else { "are" };
            let what = format!("btrfs {name}: {missing} of {} devices {is} missing", self.devices.len());
            problems.critical("disks", what);
        }
        for device in &self.devices {
            if let Some(errors) = device.errors.and_then(words) {
                problems.warning("disks", format!("btrfs {name}: device {} has had {errors}", device.id));
            }
        }
    }
}

impl Device {
    /// `None`: it is to take the place of another, and is none of the filesystem's yet.
    fn read(reader: &Reader<'_>, directory: &str, id: &str) -> Option<Self> {
        let directory = format!("{directory}/devinfo/{id}");
        let flag = |file: &str| reader.number::<u8>(&format!("{directory}/{file}")).map(|flag| flag != 0);
        if flag("replace_target") == Some(true) {
            return None;
        }
        let path = format!("{directory}/error_stats");
        let errors = reader.text(&path).and_then(|text| reader.parsed(&path, BtrfsErrorStats::parse(&text)));
        Some(Self { id: id.parse().ok()?, missing: flag("missing"), errors: errors.flatten() })
    }
}

/// The filesystems, their devices, and how their space is used.
pub fn expose(seen: &Seen<'_>, page: &mut Exposition) {
    let all = read(seen.reader);
    let mut info = page.family("node_btrfs_info", Kind::Gauge, "The label of each btrfs.");
    for one in &all {
        info.add(&[("uuid", &*one.uuid), ("label", one.label.as_deref().unwrap_or_default())], 1_u64);
    }
    drop(info);
    let mut sizes = page.family("node_btrfs_device_size_bytes", Kind::Gauge, "The size of each device of each btrfs.");
    for (one, block) in all.iter().flat_map(|one| one.blocks.iter().map(move |block| (one, block))) {
        let sectors = seen.reader.number::<u64>(&format!("{DIRECTORY}/{}/devices/{block}/size", one.uuid));
        let size = sectors.map(|sectors| sectors.saturating_mul(512));
        sizes.add(&[("uuid", &*one.uuid), ("device", block)], size);
    }
    drop(sizes);
    // sysfs does not tell which device has which number
    let devices =
        || all.iter().flat_map(|one| one.devices.iter().map(move |device| (&*one.uuid, device.id.to_string(), device)));
    let mut missing =
        page.family("smcp_btrfs_device_missing", Kind::Gauge, "Whether a device of a btrfs is not there.");
    for (uuid, id, device) in devices() {
        missing.add(&[("uuid", uuid), ("devid", &id)], device.missing);
    }
    drop(missing);
    let help = "What went wrong on each device of each btrfs.";
    let mut errors = page.family("smcp_btrfs_device_errors_total", Kind::Counter, help);
    for (uuid, id, counted) in devices().filter_map(|(uuid, id, device)| Some((uuid, id, device.errors?))) {
        let BtrfsErrorStats { write, read, flush, corruption, generation } = counted;
        for (kind, count) in
            [("corruption", corruption), ("flush", flush), ("generation", generation), ("read", read), ("write", write)]
        {
            errors.add(&[("uuid", uuid), ("devid", &id), ("type", kind)], count);
        }
    }
    drop(errors);
    expose_space(seen.reader, &all, page);
}

/// How much each kind of data has set aside, and uses. By `allocation` of sysfs, which many containers do not show.
fn expose_space(reader: &Reader<'_>, all: &[Btrfs], page: &mut Exposition) {
    const KINDS: [&str; 3] = ["data", "metadata", "system"];
    let directory = |one: &Btrfs| format!("{DIRECTORY}/{}/allocation", one.uuid);
    let help = "What each btrfs keeps back to be able to go on when it is full.";
    let mut kept = page.family("node_btrfs_global_rsv_size_bytes", Kind::Gauge, help);
    for one in all {
        kept.add(&[("uuid", &*one.uuid)], reader.number::<u64>(&format!("{}/global_rsv_size", directory(one))));
    }
    drop(kept);
    let kinds = || all.iter().flat_map(|one| KINDS.map(|kind| (one, kind, format!("{}/{kind}", directory(one)))));
    let help = "What is set aside for writes under way, by kind of data.";
    let mut reserved = page.family("node_btrfs_reserved_bytes", Kind::Gauge, help);
    for (one, kind, path) in kinds() {
        let bytes = reader.number::<u64>(&format!("{path}/bytes_reserved"));
        reserved.add(&[("uuid", &*one.uuid), ("block_group_type", kind)], bytes);
    }
    drop(reserved);
    // single, dup, raid1 and so on: the directories
    let modes = |path: &str| {
        let modes = reader.names(path).into_iter();
        modes.filter(|mode| reader.root().exists(&format!("{path}/{mode}/total_bytes"))).collect::<Vec<_>>()
    };
    let layouts: Vec<_> = kinds().map(|(one, kind, path)| (one, kind, modes(&path), path)).collect();
    for (name, file, help) in [
        ("node_btrfs_size_bytes", "total_bytes", "What is allocated, by kind of data and how it is laid out."),
        ("node_btrfs_used_bytes", "used_bytes", "What is used, by kind of data and how it is laid out."),
    ] {
        let mut family = page.family(name, Kind::Gauge, help);
        for (one, kind, modes, path) in &layouts {
            for mode in modes {
                let bytes = reader.number::<u64>(&format!("{path}/{mode}/{file}"));
                family.add(&[("uuid", &*one.uuid), ("block_group_type", kind), ("mode", mode)], bytes);
            }
        }
    }
}

/// `None`: nothing went wrong.
fn words(errors: BtrfsErrorStats) -> Option<String> {
    let BtrfsErrorStats { write, read, flush, corruption, generation } = errors;
    let kinds =
        [(corruption, "corruption"), (generation, "generation"), (write, "write"), (read, "read"), (flush, "flush")];
    let kinds: Vec<_> =
        kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}")).collect();
    let (last, first) = kinds.split_last()?;
    let one = first.is_empty() && last.starts_with("1 ");
    let all = if first.is_empty() { last.clone() } else { format!("{} and {last}", first.join(", ")) };
    Some(all + if one { " error" } else { " errors" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    const NONE: &str = "write_errs 0\nread_errs 0\nflush_errs 0\ncorruption_errs 0\ngeneration_errs 0\n";

    #[test]
    fn missing_devices_and_errors_are_told_by_the_place_the_label_or_the_uuid() {
        let errors = NONE.replace("flush_errs 0", "flush_errs 4").replace("write_errs 0", "write_errs 1");
        let at = |file: &str| format!("sys/fs/btrfs/0f000000-0000-0000-0000-00000000000f/{file}");
        let files = [
            ("sys/fs/btrfs/features/raid56".to_owned(), "1\n"),
            (at("label"), "store\n"),
            (at("devices/sdc/dev"), "8:32\n"),
            (at("devinfo/1/missing"), "0\n"),
            (at("devinfo/1/error_stats"), &*errors),
            (at("devinfo/2/missing"), "1\n"),
            (at("devinfo/2/error_stats"), "invalid\n"),
            (at("devinfo/10/missing"), "1\n"),
            (at("devinfo/10/error_stats"), NONE),
            (at("devinfo/0/missing"), "0\n"),
            (at("devinfo/0/replace_target"), "1\n"),
        ];
        let files: Vec<_> = files.iter().map(|(path, text)| (&**path, *text)).collect();
        let found = Tree::new(&files).whole(read);
        let [one] = &found[..] else { panic!("{found:?}") };
        assert_eq!(one.devices.iter().map(|device| device.id).collect::<Vec<_>>(), [1, 2, 10]);
        assert_eq!(one.blocks, ["sdc"]);
        let said = |name: Option<&str>, one: &Btrfs| {
            let mut problems = Problems::default();
            one.problems(name, &mut problems);
            problems.sorted().into_iter().map(|problem| problem.what).collect::<Vec<_>>()
        };
        let two =
            ["btrfs /data: 2 of 3 devices are missing", "btrfs /data: device 1 has had 1 write and 4 flush errors"];
        assert_eq!(said(Some("/data"), one), two);
        assert_eq!(said(None, one)[0], "btrfs store: 2 of 3 devices are missing");
        let unnamed = Btrfs { label: None, ..one.clone() };
        assert_eq!(said(None, &unnamed)[0], format!("btrfs {}: 2 of 3 devices are missing", one.uuid));
        let well = Btrfs { devices: one.devices[..0].to_vec(), ..one.clone() };
        assert_eq!(said(None, &well), [""; 0]);
    }

    #[test]
    fn errors_are_counted_in_good_english() {
        let none = BtrfsErrorStats::default();
        assert_eq!(words(none), None);
        assert_eq!(words(BtrfsErrorStats { generation: 1, ..none }).as_deref(), Some("1 generation error"));
        let three = BtrfsErrorStats { corruption: 2, write: 3, read: 1, ..none };
        assert_eq!(words(three).as_deref(), Some("2 corruption, 3 write and 1 read errors"));
    }

    #[test]
    fn odd_statistics_are_a_gap_and_the_device_is_told() {
        let at = "sys/fs/btrfs/0f000000-0000-0000-0000-00000000000f/devinfo/1";
        let files = [(format!("{at}/missing"), "1\n"), (format!("{at}/error_stats"), "write_errs -1\n")];
        let files: Vec<_> = files.iter().map(|(path, text)| (&**path, *text)).collect();
        let (found, gaps) = Tree::new(&files).read(read);
        assert_eq!((found[0].devices[0].missing, gaps.rows().len()), (Some(true), 1));
        assert_eq!(gaps.rows()[0].file, format!("/{at}/error_stats"));
    }
}
