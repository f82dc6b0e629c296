//! Capabilities by name, see capabilities(7).

/// Their names, in the order of their bits, up to Linux 5.9.
const NAMES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

/// The capabilities of a mask, such as `CapEff`: `none`, `all` that the kernel has (`last` is its `cap_last_cap`, since Linux 3.2), their
/// names with blanks between, or `all but` those, whichever is shorter.
pub fn names(mask: u64, last: Option<u32>) -> String {
    let beyond = last.and_then(|last| 1u64.checked_shl(last.checked_add(1)?));
    let all = beyond.map_or(u64::MAX, |beyond| beyond.wrapping_sub(1));
    let lacking = all & !mask;
    match (mask, lacking) {
        (0, _) => "none".to_owned(),
        (_, 0) => "all".to_owned(),
        _ if lacking.count_ones() < mask.count_ones() => format!("all but {}", list(lacking)),
        _ => list(mask),
    }
}

fn list(mask: u64) -> String {
    let name = |bit: u32| match usize::try_from(bit).ok().and_then(|bit| NAMES.get(bit)) {
        Some(name) => (*name).to_owned(),
        None => format!("cap_{bit}"),
    };
    let has = |bit: &u32| mask & 1 << bit != 0;
    (0..u64::BITS).filter(has).map(name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_mask_is_all_and_a_newer_bit_keeps_its_number() {
        assert_eq!(names(0x1ff_feff_ffff, Some(40)), "all but cap_sys_resource");
        assert_eq!(names(0x1ff_ffff_ffff, Some(40)), "all");
        assert_eq!(names(0, Some(40)), "none");
        assert_eq!(names(1 << 10 | 1 << 13, Some(40)), "cap_net_bind_service cap_net_raw");
        assert_eq!(names(1 << 40 | 1 << 45, Some(45)), "cap_checkpoint_restore cap_45");
        assert_eq!(names(u64::MAX, None), "all");
        assert_eq!(names(1 << 63, Some(63)), "cap_63");
    }
}
