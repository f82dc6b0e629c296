//! `/proc/cpuinfo`, see proc_cpuinfo(5). Every architecture writes its own words; under lxcfs only the container's CPUs
//! are in it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Malformed, decimal};

/// The machine's CPUs. What an architecture does not say is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cpuinfo {
    /// CPUs the scheduler sees.
    pub logical: u32,
    /// Sockets (`physical id`); x86 says.
    pub packages: Option<u32>,
    /// Cores of all sockets (`core id`), threads of one counted once; x86 says.
    pub cores: Option<u32>,
    /// `model name`; `Processor` on old ARM, `uarch` on RISC-V. Most arm64 kernels say none.
    pub model_name: Option<String>,
    /// `vendor_id`; on ARM the name of the `CPU implementer`, or its number.
    pub vendor: Option<String>,
    /// `Model`, or else `Hardware`: the board of an ARM machine.
    pub board: Option<String>,
    /// Megahertz now, by CPU number (`cpu MHz`); x86 says.
    pub mhz: BTreeMap<u32, f64>,
    /// Whether the flag `hypervisor` is set: an x86 virtual machine. Other architectures have no such flag.
    pub hypervisor: bool,
}

impl Cpuinfo {
    /// Reads the text of `/proc/cpuinfo`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut processors = BTreeSet::new();
        let mut packages = BTreeSet::new();
        let mut cores = BTreeSet::new();
        let mut mhz = BTreeMap::new();
        let (mut processor, mut package) = (0, None);
        for (name, value) in text.lines().filter_map(field) {
            match name {
                // Old ARM kernels write the model here, under a capital letter.
                "processor" => {
                    processor = value.parse().map_err(|_| Malformed::field("cpuinfo", "processor"))?;
                    processors.insert(processor);
                    package = None;
                }
                "physical id" => {
                    package = Some(value);
                    packages.insert(value);
                }
                "core id" => drop(package.map(|package| cores.insert((package, value)))),
                "cpu MHz" => drop(decimal(value).map(|clock| mhz.insert(processor, clock))),
                _ => {}
            }
        }
        let first = |names: &[&str]| {
            let find = |name: &&str| text.lines().filter_map(field).find(|(have, _)| have == name);
            names.iter().find_map(find).map(|(_, value)| value.to_owned())
        };
        let flags = first(&["flags"]).unwrap_or_default();
        Ok(Self {
            logical: some(processors.len()).ok_or_else(|| Malformed::field("cpuinfo", "processor"))?,
            packages: some(packages.len()),
            cores: some(cores.len()),
            model_name: first(&["model name", "Processor", "uarch"]),
            vendor: first(&["vendor_id"]).or_else(|| first(&["CPU implementer"]).map(implementer)),
            board: first(&["Model", "Hardware"]),
            mhz,
            hypervisor: flags.split_ascii_whitespace().any(|flag| flag == "hypervisor"),
        })
    }
}

fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim_ascii(), value.trim_ascii())).filter(|(_, value)| !value.is_empty())
}

fn some(count: usize) -> Option<u32> {
    u32::try_from(count).ok().filter(|count| *count > 0)
}

/// The makers of ARM cores, from the kernel's asm/cputype.h.
fn implementer(number: String) -> String {
    let name = match number.as_str() {
        "0x41" => "ARM",
        "0x42" => "Broadcom",
        "0x43" => "Cavium",
        "0x46" => "Fujitsu",
        "0x48" => "HiSilicon",
        "0x4e" => "NVIDIA",
        "0x50" => "Applied Micro",
        "0x51" => "Qualcomm",
        "0x61" => "Apple",
        "0x6d" => "Microsoft",
        "0xc0" => "Ampere",
        _ => return number,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_one_core_are_one_core() {
        let cpu = |processor: u32, package: u32, core: u32| {
            format!(
                "processor\t: {processor}\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) CPU\ncpu MHz\t\t: 2596.138\n\
                physical id\t: {package}\ncore id\t\t: {core}\nflags\t\t: fpu vme hypervisor\npower management:\n\n"
            )
        };
        let text = [cpu(0, 0, 0), cpu(1, 0, 0), cpu(2, 1, 0), cpu(5, 1, 1)].concat();
        let cpuinfo = Cpuinfo::parse(&text).unwrap();
        assert_eq!((cpuinfo.logical, cpuinfo.packages, cpuinfo.cores), (4, Some(2), Some(3)));
        assert_eq!((cpuinfo.vendor.as_deref(), cpuinfo.hypervisor), (Some("GenuineIntel"), true));
        assert_eq!(cpuinfo.mhz.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 5]);
    }

    #[test]
    fn arm64_says_little() {
        let text = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n\
            Revision\t: c03111\nModel\t\t: Raspberry Pi 4 Model B Rev 1.1\n";
        let cpuinfo = Cpuinfo::parse(text).unwrap();
        assert_eq!((cpuinfo.logical, cpuinfo.packages, cpuinfo.cores), (1, None, None));
        assert_eq!((cpuinfo.vendor.as_deref(), cpuinfo.model_name.as_deref()), (Some("ARM"), None));
        assert_eq!(cpuinfo.board.as_deref(), Some("Raspberry Pi 4 Model B Rev 1.1"));
    }

    #[test]
    fn arm32_names_its_board() {
        let text =
            "Processor\t: ARMv7 Processor rev 4 (v7l)\nprocessor\t: 0\nBogoMIPS\t: 38.40\n\nHardware\t: BCM2835\n";
        let cpuinfo = Cpuinfo::parse(text).unwrap();
        assert_eq!(cpuinfo.model_name.as_deref(), Some("ARMv7 Processor rev 4 (v7l)"));
        assert_eq!((cpuinfo.logical, cpuinfo.board.as_deref()), (1, Some("BCM2835")));
    }

    #[test]
    fn riscv_names_its_microarchitecture() {
        let text = "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc\nmmu\t\t: sv39\nuarch\t\t: sifive,u74-mc\n";
        assert_eq!(Cpuinfo::parse(text).unwrap().model_name.as_deref(), Some("sifive,u74-mc"));
    }

    #[test]
    fn a_machine_without_cpus_is_refused() {
        assert!(Cpuinfo::parse("vendor_id : IBM/S390\n").is_err());
    }
}
