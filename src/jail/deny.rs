//! What is kept from callers by its name, wherever it lies.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use unicode_normalization::UnicodeNormalization;

use std::{borrow::Cow, ffi::OsStr, path::Path};

/// Keys, credentials and what holds them, in the usual places and under the usual names. One without a slash is the name of a file or a
/// directory anywhere; one with a slash is a path from the root. Either stands for all that is below it.
pub const USUAL: &[&str] = &[
    // passwords of the system
    "shadow",
    "shadow-",
    "gshadow",
    "gshadow-",
    "opasswd",
    "master.passwd",
    ".htpasswd",
    "*.htpasswd",
    "smbpasswd",
    "sasl_passwd*",
    "passwd.client",
    "davfs2/secrets",
    "pgbouncer/userlist.txt",
    "chrony.keys",
    "users.acl",
    "snmpd.conf",
    "snmptrapd.conf",
    "passdb.tdb",
    "secrets.tdb",
    "*.keytab",
    "chap-secrets",
    "pap-secrets",
    "ipsec.secrets",
    "wpa_supplicant*.conf",
    "system-connections",
    "sssd.conf",
    // keys
    ".ssh",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    "ssh_host_*_key",
    "*.key",
    "*.ppk",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.psk",
    "*.kdb",
    "*.kdbx",
    "privkey*.pem",
    "*key.pem",
    "*-key.pem",
    "*_key.pem",
    ".gnupg",
    "secring.*",
    "/etc/ssl/private",
    "/etc/wireguard",
    "/etc/pve/priv",
    "/etc/letsencrypt/archive",
    "/etc/letsencrypt/keys",
    "/etc/letsencrypt/accounts",
    "/var/lib/tailscale",
    "/etc/credstore",
    "/etc/credstore.encrypted",
    "/run/credentials",
    "/var/lib/systemd/credential.secret",
    "/var/lib/systemd/random-seed",
    "/run/secrets",
    "/run/agenix",
    "/run/keys",
    "*.age",
    "master.key",
    // of clouds, clusters and registries
    ".aws",
    ".azure",
    "gcloud",
    ".kube",
    "kubeconfig*",
    "*.kubeconfig",
    "/etc/kubernetes",
    "/etc/rancher",
    "/var/lib/rancher",
    "/var/lib/kubelet",
    ".docker",
    "config.v2.json",
    "auth.json",
    ".s3cfg",
    ".boto",
    "rclone.conf",
    ".rclone.conf",
    ".vault-token",
    "*.tfstate",
    "*.tfstate.*",
    "*.tfvars",
    "credentials",
    "credentials.*",
    ".credentials",
    "application_default_credentials.json",
    "service-account*.json",
    // of programs
    ".env",
    ".env.*",
    "*.env",
    ".envrc",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".my.cnf",
    "debian.cnf",
    ".mylogin.cnf",
    ".git-credentials",
    ".npmrc",
    ".yarnrc.yml",
    ".pypirc",
    ".dockercfg",
    ".cargo/credentials*",
    ".gem",
    ".config/gh",
    ".config/hub",
    ".password-store",
    ".authinfo*",
    ".msmtprc",
    ".fetchmailrc",
    ".smbcredentials",
    "*.credentials",
    "secrets.yaml",
    "secrets.yml",
    "secrets.json",
    "secrets.toml",
    "*-secrets.json",
    "wp-config.php",
    ".*_history",
    ".lesshst",
    ".viminfo",
    "logins.json",
    "key3.db",
    "key4.db",
    "Login Data",
    "cookies.sqlite",
    "Cookies",
];

/// Patterns, ready to be held against a path.
#[derive(Clone, Debug)]
pub struct Deny {
    /// As they were written, those of `names` first.
    written: Vec<String>,
    names: GlobSet,
    paths: GlobSet,
    named: usize,
    /// Those of names, and how those of paths end.
    ends: GlobSet,
}

impl Deny {
    /// Those of [`USUAL`] and those of the operator's. Or what is wrong with one of them.
    pub fn new(usual: bool, more: &[String]) -> Result<Self, String> {
        let usual: &[&str] = if usual { USUAL } else { &[] };
        let all = usual.iter().copied().chain(more.iter().map(String::as_str));
        let (paths, names): (Vec<&str>, Vec<&str>) = all.partition(|pattern| pattern.contains('/'));
        let set = |patterns: &[&str]| -> Result<GlobSet, String> {
            let mut set = GlobSetBuilder::new();
            for pattern in patterns {
                // one that does not begin at the root can begin anywhere
                let rooted = if pattern.contains('/') && !pattern.starts_with('/') && !pattern.starts_with("**") {
                    format!("**/{pattern}")
                } else {
                    (*pattern).to_owned()
                };
                let glob = GlobBuilder::new(&plain(&rooted)).literal_separator(true).backslash_escape(true).build();
                set.add(glob.map_err(|error| format!("{pattern:?} is no pattern: {}", error.kind()))?);
            }
            set.build().map_err(|error| error.to_string())
        };
        let written = names.iter().chain(&paths).map(|pattern| (*pattern).to_owned()).collect();
        let ends: Vec<&str> = names.iter().copied().chain(paths.iter().map(|pattern| end(pattern))).collect();
        Ok(Self { written, names: set(&names)?, paths: set(&paths)?, named: names.len(), ends: set(&ends)? })
    }

    /// All of them, as they were written.
    pub fn written(&self) -> &[String] {
        &self.written
    }

    /// The pattern that keeps the absolute `path` from callers: by its own name, or by that of a directory it is in below `allowed`.
    pub fn of(&self, path: &Path, allowed: &Path) -> Option<&str> {
        let mut ancestors: Vec<&Path> = path.ancestors().take_while(|path| *path != allowed).collect();
        ancestors.reverse();
        ancestors.into_iter().find_map(|path| self.of_last(path))
    }

    /// Whether anything of this name may be kept, so that its path has to be looked at. Few names are such.
    pub fn may_deny(&self, name: &OsStr) -> bool {
        self.ends.is_match(&*plain(&name.to_string_lossy()))
    }

    /// The same where the directory that it is in has been found to be permitted.
    pub fn of_last(&self, path: &Path) -> Option<&str> {
        let first = |set: &GlobSet, text: &str| {
            let text = plain(text);
            set.is_match(&*text).then(|| set.matches(&*text).first().copied()).flatten()
        };
        let by_name = path.file_name().and_then(|name| first(&self.names, &name.to_string_lossy()));
        let by_path = || first(&self.paths, &path.to_string_lossy()).map(|at| self.named + at);
        by_name.or_else(by_path).map(|at| self.written[at].as_str())
    }
}

impl Default for Deny {
    fn default() -> Self {
        // a test holds that they are patterns
        Self::new(true, &[]).unwrap_or_else(|_| unreachable!("the usual ones are patterns"))
    }
}

impl PartialEq for Deny {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for Deny {}

/// What a path has to end in to fit a pattern of paths, as a pattern of names.
fn end(pattern: &str) -> &str {
    match pattern.trim_end_matches('/').rsplit_once('/') {
        // alternatives and classes can have a slash in them
        Some((_, end)) if !end.contains("**") && !pattern.contains(['{', '[', '\\']) => end,
        _ => "*",
    }
}

/// One spelling for all that a filesystem may take for the same: without case, and with the letters that only look different composed.
fn plain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        // composing leaves these as they are
        let has_capitals = text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if has_capitals { text.to_ascii_lowercase().into() } else { text.into() };
    }
    let folded: String = text.nfkc().flat_map(char::to_lowercase).collect();
    Cow::Owned(folded.nfkc().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(path: &str) -> Option<String> {
        Deny::default().of(Path::new(path), Path::new("/")).map(str::to_owned)
    }

    #[test]
    fn keys_and_credentials_are_kept_wherever_they_lie() {
        for path in [
            "/etc/shadow",
            "/etc/shadow-",
            "/mnt/backup/etc/gshadow",
            "/home/eve/.ssh",
            "/home/eve/.ssh/config",
            "/home/eve/.ssh/deep/down",
            "/srv/id_ed25519",
            "/etc/ssh/ssh_host_ed25519_key",
            "/srv/app/.env",
            "/srv/app/.env.production",
            "/srv/app/prod.env",
            "/root/.aws/credentials",
            "/root/.kube/config",
            "/etc/ssl/private/x.pem",
            "/etc/wireguard/wg0.conf",
            "/etc/NetworkManager/system-connections/home.nmconnection",
            "/opt/x/tls.key",
            "/etc/postfix/sasl_passwd.db",
            "/etc/exim4/passwd.client",
            "/etc/davfs2/secrets",
            "/etc/gitlab/gitlab-secrets.json",
            "/opt/x/privkey1.pem",
            "/opt/infra/terraform.tfstate",
            "/var/lib/docker/containers/ab/config.v2.json",
            "/home/eve/.bash_history",
            "/home/eve/.cargo/credentials.toml",
        ] {
            assert!(denied(path).is_some(), "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_not_kept() {
        for path in [
            "/etc/passwd",
            "/etc/ssh/sshd_config",
            "/var/log/shadow.log",
            "/srv/environment",
            "/srv/app/env",
            "/etc/ssl/certs/ca.pem",
            "/srv/keys.md",
            "/srv/monkey.txt",
            "/",
        ] {
            assert_eq!(denied(path), None);
        }
    }

    #[test]
    fn another_spelling_is_the_same_name() {
        for path in ["/srv/.ENV", "/ETC/SHADOW", "/srv/.Ssh/x", "/srv/ＩＤ_ＲＳＡ", "/srv/ｓhadow", "/srv/LOGIN DATA"]
        {
            assert!(denied(path).is_some(), "{path}");
        }
    }

    #[test]
    fn a_child_is_kept_for_the_same_reason_as_its_path() {
        let more = ["/srv/private/", "x/{a,b/c}", "y/**", "z/[a-c]", "**/q/*.bak"].map(str::to_owned);
        let deny = Deny::new(true, &more).unwrap();
        let names = [
            "private",
            "ssl",
            "a",
            "c",
            "d",
            "x",
            "q.bak",
            "gh",
            "hub",
            ".env",
            "SHADOW",
            "ｓhadow",
            "id_rsa.pub",
            "plain",
            "credentials.toml",
            "config",
            "archive",
        ];
        for parent in
            ["/", "/srv", "/etc/ssl", "/srv/x", "/srv/x/b", "/y", "/y/deep", "/z", "/q", "/h/.config", "/h/.cargo"]
        {
            for name in names {
                let path = Path::new(parent).join(name);
                assert!(deny.of_last(&path).is_none() || deny.may_deny(OsStr::new(name)), "{path:?}");
            }
        }
    }

    #[test]
    fn the_operator_can_add_and_do_without_the_usual() {
        let deny = Deny::new(false, &["*.bak".into(), "/srv/private".into(), "a/b".into()]).unwrap();
        for (path, pattern) in [
            ("/srv/x.bak", Some("*.bak")),
            ("/srv/x.bak/y", Some("*.bak")),
            ("/srv/private/x/y", Some("/srv/private")),
            ("/opt/srv/private", None),
            ("/opt/a/b/c", Some("a/b")),
            ("/etc/shadow", None),
        ] {
            assert_eq!(deny.of(Path::new(path), Path::new("/")), pattern, "{path}");
        }
        assert_eq!(deny.of(Path::new("/srv/private/x"), Path::new("/srv/private")), None, "the operator has named it");
        assert!(Deny::new(true, &["[".into()]).unwrap_err().contains("\"[\""));
    }
}
