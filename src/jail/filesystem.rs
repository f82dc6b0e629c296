//! Which filesystems hold files as a disk does, and which show the kernel's own.

/// Whether a filesystem of this type (`statfs.f_type`, magic.h) keeps what is written to it, so that its files may be shown. What is not
/// known is not one: `proc`, `sysfs`, `cgroup` and their like answer with the kernel's state, and reading there can act.
pub(super) fn keeps_files(kind: u64) -> bool {
    matches!(
        kind & 0xffff_ffff,
        0xef53 // ext2, ext3, ext4
        | 0x5846_5342 // xfs
        | 0x9123_683e // btrfs
        | 0x2fc1_2fc1 // zfs
        | 0xca45_1a4e // bcachefs
        | 0xf2f5_2010 // f2fs
        | 0x3153_464a // jfs
        | 0x5265_4973 // reiserfs
        | 0x3434 // nilfs2
        | 0x24051905 // ubifs
        | 0x72b6 // jffs2
        | 0x4d44 // vfat
        | 0x2011_bab0 // exfat
        | 0x5346_544e // ntfs
        | 0x7366_746e // ntfs3
        | 0x4244 // hfs
        | 0x482b // hfsplus
        | 0x9660 // iso9660
        | 0x1501_3346 // udf
        | 0x7371_7368 // squashfs
        | 0xe0f5_e1e2 // erofs
        | 0x28cd_3d45 // cramfs
        | 0x794c_7630 // overlayfs
        | 0xf15f // ecryptfs
        | 0x6175_6673 // aufs
        | 0x0102_1994 // tmpfs, and devtmpfs, whose devices are refused by their own type
        | 0x8584_58f6 // ramfs
        | 0x6969 // nfs
        | 0x517b // smb
        | 0xff53_4d42 // cifs
        | 0xfe53_4d42 // smb2
        | 0x00c3_6400 // ceph
        | 0x0102_1997 // 9p
        | 0x6573_5546 // fuse, virtiofs
        | 0x0bd0_0bd0 // lustre
        | 0x7461_636f // ocfs2
        | 0x0116_1970 // gfs2
        | 0x5346_414f // afs
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_are_none() {
        // proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, bpf, devpts, mqueue, configfs, efivarfs, pstore, binfmt_misc, nsfs
        for kind in [
            0x9fa0,
            0x6265_6572,
            0x0027_e0eb,
            0x6367_7270,
            0x6462_6720,
            0x7472_6163,
            0x7363_6673,
            0xcafe_4a11,
            0x1cd1,
            0x1980_0202,
            0x6265_6570,
            0xde5e_81e4,
            0x6165_676c,
            0x4249_4e4d,
            0x6e73_6673,
        ] {
            assert!(!keeps_files(kind), "{kind:x}");
        }
        assert!(keeps_files(0xef53) && keeps_files(0xffff_ffff_9123_683e), "a signed f_type is extended");
    }
}
