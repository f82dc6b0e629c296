//! The token file: which tokens there are, as argon2id hashes, and what each may do.
//!
//! It is only ever replaced: a temporary file beside it, fsync, rename, fsync of the directory. Two programs that change
//! it at once take turns by a lock (flock) on the directory, so that no further file lies about. Errors name the place
//! and never quote what the file holds.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fmt,
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    net::IpAddr,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash};
use rustix::{
    fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, Stat},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{
    token::{self, Token},
    trusted::{self, Doubt, Whom},
};
use kernel::failure::Failure;
use rights::grant::Grants;

/// The token file's name in the state directory.
pub const FILE_NAME: &str = "tokens.ron";

/// How long a token lives unless asked otherwise.
pub const LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Where systemd puts what it gives to one service (`LoadCredential=`). It lets the service's user in by an ACL, whose mask shows as rights
/// of the group, which has none; only root can put anything there.
const CREDENTIALS: &str = "/run/credentials";

/// A file larger than this is not a token file.
const LARGEST: u64 = 1024 * 1024;

/// A moment, written as RFC 3339 in UTC, to the second. Between 1970 and 9999: what can be written can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(SystemTime);

impl Time {
    /// The whole second `moment` lies in, or `None` outside 1970 to 9999.
    pub fn new(moment: SystemTime) -> Option<Self> {
        let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        (seconds < 253_402_300_800).then(|| Self(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    /// As the standard library counts it.
    pub fn get(self) -> SystemTime {
        self.0
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(self.0).fmt(f)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        humantime::parse_rfc3339(&text).ok().and_then(Self::new).ok_or("expected a time like 2026-07-28T12:00:00Z")
    }
}

/// A network in CIDR notation, or one address. An IPv4 network also holds its addresses written as IPv6 (`::ffff:a.b.c.d`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a network like 192.0.2.0/24, 2001:db8::/32, or one address, with no bit set behind the prefix")]
pub struct NotANetwork;

impl Network {
    /// Whether `peer` is in it.
    pub fn contains(&self, peer: IpAddr) -> bool {
        masked(peer.to_canonical(), self.prefix) == Some(self.address)
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(prefix.parse().map_err(|_| NotANetwork)?))
            }
            Some(_) => return Err(NotANetwork),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        // a mapped network (::ffff:192.0.2.0/120) would never match: peers are compared in their IPv4 form
        if address != address.to_canonical() {
            return Err(NotANetwork);
        }
        let prefix = prefix.unwrap_or(if address.is_ipv4() { 32 } else { 128 });
        if masked(address, prefix) == Some(address) { Ok(Self { address, prefix }) } else { Err(NotANetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

/// `address` without the bits behind `prefix`; `None` if it has fewer bits than that.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(prefix)?).unwrap_or(0);
            Some(IpAddr::V4((v4.to_bits() & mask).into()))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(prefix)?).unwrap_or(0);
            Some(IpAddr::V6((v6.to_bits() & mask).into()))
        }
    }
}

/// A token's argon2id hash, as a PHC string. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(String);

impl Hash {
    /// Hashes a token with what OWASP recommends (19 MiB, two passes, one lane; the crate's default, held by a test)
    /// and a fresh salt. Takes 50 to 100 ms.
    pub fn of(token: &Token) -> Result<Self, Failure> {
        Self::with(&Argon2::default(), token)
    }

    fn with(argon2: &Argon2<'_>, token: &Token) -> Result<Self, Failure> {
        let salt = token::random::<16>()?;
        let hash = argon2.hash_password_with_salt(token.expose().as_bytes(), &salt);
        hash.map(|hash| Self(hash.to_string())).map_err(|error| Failure::internal(format!("argon2: {error}")))
    }

    /// A hash that costs next to nothing, so that tests of everything else are fast.
    #[cfg(test)]
    pub(crate) fn cheap(token: &Token) -> Self {
        Self::with(&argon2::Params::new(64, 1, 1, None).unwrap().into(), token).unwrap()
    }

    /// Whether it is `token`'s. As dear as making it.
    pub fn is_of(&self, token: &Token) -> bool {
        Argon2::default().verify_password(token.expose().as_bytes(), self.0.as_str()).is_ok()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(..)")
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.0
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    /// Takes argon2id alone, and bounds what one check may cost: a changed file must not make the server spend gigabytes.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let read = || {
            let hash = PasswordHash::new(&text).ok()?;
            let cost = argon2::Params::try_from(&hash).ok()?;
            let whole = hash.algorithm.as_str() == "argon2id" && hash.salt.is_some() && hash.hash.is_some();
            (whole && cost.m_cost() <= 65_536 && cost.t_cost() <= 10 && cost.p_cost() <= 4).then_some(())
        };
        read().ok_or("expected an argon2id PHC string of at most 64 MiB, 10 passes and 4 lanes")?;
        Ok(Self(text))
    }
}

/// One token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The token's public part: 8 hex digits.
    pub id: String,
    /// What its owner calls it. Two may share a name while one replaces the other.
    pub name: String,
    /// What it may do.
    #[serde(rename = "scopes")]
    pub grants: Grants,
    /// When it was made.
    pub created: Time,
    /// When it ends; `None` is never, and must be written: a lost line must not make a token eternal.
    #[serde(deserialize_with = "Option::deserialize")]
    pub expires: Option<Time>,
    /// The networks it may come from; none means anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Network>,
    /// What proves it.
    pub hash: Hash,
}

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What its owner calls it: up to 64 letters, digits, spaces and `. _ @ : + -`.
    pub name: String,
    /// What it may do.
    pub grants: Grants,
    /// How long it lives; `None` is for ever.
    pub lifetime: Option<Duration>,
    /// The networks it may come from; none means anywhere.
    pub sources: Vec<Network>,
}

/// Why the token file could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{}: cannot {doing}: {source}", file.display())]
    Io {
        /// The token file.
        file: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Others than its owner may use it.
    #[error("{0}: others than its owner may read or write this token file; run: chmod 600 {0}", file.display())]
    Exposed {
        /// The token file.
        file: PathBuf,
    },
    /// Others may have put it there.
    #[error("{}: this token file could be another's, and is not believed: {doubt}", file.display())]
    Doubtful {
        /// The token file.
        file: PathBuf,
        /// Why.
        doubt: Doubt,
    },
    /// A directory, a device, a link where none may be.
    #[error("{}: is {what}, and a token file must be a regular file", file.display())]
    NotAFile {
        /// The token file.
        file: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
    /// Not what this program writes.
    #[error("{}:{line}:{column}: {why}", file.display())]
    Malformed {
        /// The token file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What was expected, without a word from the file.
        why: &'static str,
    },
    /// What was asked for cannot be.
    #[error("{0}")]
    Wanted(String),
    /// No random bytes, or argon2 failed.
    #[error(transparent)]
    Internal(#[from] Failure),
}

/// The tokens of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Store {
    /// In the order they were made.
    pub records: Vec<Record>,
}

impl Store {
    /// Reads the file, to let callers in by it; a missing one holds no tokens. A symlink is followed here (a secret manager may place
    /// one) and what it leads to must be a regular file of its owner alone. The owner must be root or this process's user, as
    /// must be the directory's, to which nobody else may write.
    pub fn load(file: &Path) -> Result<Self, StoreError> {
        Self::open(file, CWD, file.as_os_str(), OFlags::empty(), Whom::Me)
    }

    /// Reads the file, to show what is in it: root may look at what a service without rights owns.
    pub fn look(file: &Path) -> Result<Self, StoreError> {
        Self::open(file, CWD, file.as_os_str(), OFlags::empty(), Whom::OwnerOfDirectory)
    }

    /// Makes a token and adds it. The token's text is nowhere but in the answer.
    pub fn add(file: &Path, wanted: Wanted, now: SystemTime) -> Result<(Token, Record), StoreError> {
        let token = Token::generate()?;
        let record = wanted.record(&token, now)?;
        Self::change(file, |store| {
            if store.records.iter().any(|other| other.id == record.id) {
                return Err(StoreError::Wanted("the random id is taken; try again".into()));
            }
            store.records.push(record.clone());
            Ok((token, record))
        })
    }

    /// Removes the token with this id, or the only one with this name.
    pub fn revoke(file: &Path, which: &str) -> Result<Record, StoreError> {
        Self::change(file, |store| {
            // no name has the form of an id, so the two cannot be confused
            let mut found = (0..store.records.len())
                .filter(|at| store.records[*at].id == which || store.records[*at].name == which);
            match (found.next(), found.next()) {
                (Some(at), None) => Ok(store.records.remove(at)),
                (None, _) => Err(StoreError::Wanted(format!("there is no token {which:?}; see: token list"))),
                (Some(_), Some(_)) => {
                    Err(StoreError::Wanted(format!("several tokens are called {which:?}; give the id of one")))
                }
            }
        })
    }

    /// Reads, changes and replaces the file while nobody else does.
    fn change<T>(file: &Path, change: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let failed = |doing| move |source: Errno| StoreError::Io { file: file.into(), doing, source: source.into() };
        let name = file.file_name().ok_or_else(|| StoreError::NotAFile { file: file.into(), what: "a directory" })?;
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|source| StoreError::Io {
            file: file.into(),
            doing: "make its directory",
            source,
        })?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(parent, flags, Mode::empty()).map_err(failed("open its directory"))?;
        // released when `directory` is closed
        rustix::fs::flock(&directory, FlockOperation::LockExclusive).map_err(failed("lock its directory"))?;
        let mut store = Self::open(file, &directory, name, OFlags::NOFOLLOW, Whom::OwnerOfDirectory)?;
        let answer = change(&mut store)?;
        store.replace(&directory, name).map_err(|source| StoreError::Io {
            file: file.into(),
            doing: "write",
            source,
        })?;
        Ok(answer)
    }

    fn open(file: &Path, at: impl rustix::fd::AsFd, name: &OsStr, how: OFlags, whom: Whom) -> Result<Self, StoreError> {
        let doubtful = |doubt| StoreError::Doubtful { file: file.into(), doubt };
        let io = |doing, source: io::Error| StoreError::Io { file: file.into(), doing, source };
        let not = |what| StoreError::NotAFile { file: file.into(), what };
        // NONBLOCK and NOCTTY: a FIFO or a terminal at this place must not hold us up before it is refused
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | how;
        let opened = match rustix::fs::openat(at, name, flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => {
                // one may come
                return trusted::check_directory(file, whom).map(|_| Self::default()).map_err(doubtful);
            }
            Err(Errno::LOOP) => return Err(not("a symlink")),
            Err(errno) => return Err(io("open", errno.into())),
        };
        let stat = rustix::fs::fstat(&opened).map_err(|errno| io("look at", errno.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not("something else"));
        }
        let others = if file.starts_with(CREDENTIALS) { 0o007 } else { 0o077 };
        if stat.st_mode & others != 0 {
            return Err(StoreError::Exposed { file: file.into() });
        }
        trusted::check(file, &stat, whom).map_err(doubtful)?;
        let mut bytes = Vec::new();
        File::from(opened).take(LARGEST + 1).read_to_end(&mut bytes).map_err(|source| io("read", source))?;
        Self::parse(&bytes).map_err(|(line, column, why)| StoreError::Malformed {
            file: file.into(),
            line,
            column,
            why,
        })
    }

    /// Text in, records out; or line, column and what is wrong there.
    fn parse(bytes: &[u8]) -> Result<Self, (usize, usize, &'static str)> {
        if bytes.len() as u64 > LARGEST {
            return Err((1, 1, "is larger than 1 MiB"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| (1, 1, "is not UTF-8"))?;
        let store: Self = ron::from_str(text).map_err(|error| {
            (
                error.span.start.line,
                error.span.start.col,
                "expected a list of token records as this version writes them; in scopes stand grants as token new --allow takes them, 64 at most",
            )
        })?;
        let mut ids = HashSet::new();
        if store.records.iter().any(|record| !token::is_id(&record.id) || !ids.insert(&record.id)) {
            return Err((1, 1, "every record needs its own id of 8 hex digits"));
        }
        if store.records.iter().any(|record| !is_name(&record.name)) {
            return Err((1, 1, "a record's name has characters no name may have, or the form of an id"));
        }
        Ok(store)
    }

    fn replace(&self, directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
        let pretty = ron::ser::PrettyConfig::new();
        let text = ron::ser::to_string_pretty(self, pretty).map_err(io::Error::other)?;
        if text.len() as u64 >= LARGEST {
            return Err(io::Error::other("it would be larger than 1 MiB; revoke tokens, or give them fewer grants"));
        }
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}", token::hex(&token::random::<8>().map_err(io::Error::other)?)));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let written = rustix::fs::openat(directory, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
        let place = || -> io::Result<()> {
            give_to_owner(&written, &rustix::fs::fstat(directory)?)?;
            let mut written = File::from(written);
            written.write_all(text.as_bytes())?;
            written.write_all(b"\n")?;
            written.sync_all()?;
            rustix::fs::renameat(directory, &temporary, directory, name)?;
            Ok(rustix::fs::fsync(directory)?)
        };
        place().inspect_err(|_| {
            // the reason it failed says more than this could
            let _ = rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
        })
    }
}

/// Gives a file that root just made to the owner of its directory: root writes state that a service without rights reads.
pub fn give_to_owner(made: &OwnedFd, directory: &Stat) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = (rustix::fs::Uid::from_raw(directory.st_uid), rustix::fs::Gid::from_raw(directory.st_gid));
        rustix::fs::fchown(made, Some(uid), Some(gid))?;
    }
    Ok(())
}

impl Wanted {
    fn record(self, token: &Token, now: SystemTime) -> Result<Record, StoreError> {
        if !is_name(&self.name) {
            return Err(StoreError::Wanted(
                "a token's name has 1 to 64 letters, digits, spaces and . _ @ : + - and not the form of an id".into(),
            ));
        }
        let time = |moment: Option<SystemTime>| {
            moment.and_then(Time::new).ok_or_else(|| StoreError::Wanted("it would end after the year 9999".into()))
        };
        Ok(Record {
            id: token.id().to_owned(),
            name: self.name,
            grants: self.grants,
            created: time(Some(now))?,
            expires: self.lifetime.map(|lifetime| time(now.checked_add(lifetime))).transpose()?,
            sources: self.sources,
            hash: Hash::of(token)?,
        })
    }
}

/// Names go to terminals and logs, and beside ids on the command line.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || " ._@:+-".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(fits) && name.trim() == name && !token::is_id(name)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files of the tests' own")]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
        sync::atomic::{AtomicU32, Ordering},
        time::UNIX_EPOCH,
    };

    use super::*;
    use rights::scope::Scope;

    /// A directory of the test's own, removed with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("smcp-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join(FILE_NAME)
        }

        fn write(&self, text: &str) -> PathBuf {
            fs::write(self.file(), text).unwrap();
            fs::set_permissions(self.file(), fs::Permissions::from_mode(0o600)).unwrap();
            self.file()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn wanted(name: &str) -> Wanted {
        Wanted {
            name: name.into(),
            grants: Grants::all(),
            lifetime: Some(LIFETIME),
            sources: vec!["192.0.2.0/24".parse().unwrap()],
        }
    }

    fn record(name: &str) -> Record {
        let token = Token::generate().unwrap();
        Record {
            id: token.id().into(),
            name: name.into(),
            grants: [Scope::SystemRead].into_iter().collect(),
            created: Time::new(now()).unwrap(),
            expires: None,
            sources: vec![],
            hash: Hash::cheap(&token),
        }
    }

    /// Adds without the cost of the real hash.
    fn put(file: &Path, name: &str) {
        Store::change(file, |store| {
            store.records.push(record(name));
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_missing_file_holds_no_tokens() {
        assert_eq!(Store::load(&Scratch::new().file()).unwrap(), Store::default());
    }

    #[test]
    fn what_is_added_is_read_again_and_proves_its_token_alone() {
        let scratch = Scratch::new();
        let (token, added) = Store::add(&scratch.file(), wanted("laptop"), now()).unwrap();
        let store = Store::load(&scratch.file()).unwrap();
        assert_eq!(store.records, [added]);
        let record = &store.records[0];
        assert_eq!(record.expires.unwrap().get(), now() + LIFETIME);
        assert!(record.hash.is_of(&token) && !record.hash.is_of(&Token::generate().unwrap()));
        let text = fs::read_to_string(scratch.file()).unwrap();
        assert!(text.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "what OWASP recommends: {text}");
        assert!(!text.contains(&token.expose()[14..78]) && !format!("{record:?}").contains("$argon2"));
    }

    #[test]
    fn the_file_is_its_owners_alone_and_nothing_else_is_left() {
        let scratch = Scratch::new();
        put(&scratch.file(), "a");
        let (made, directory) = (fs::metadata(scratch.file()).unwrap(), fs::metadata(&scratch.0).unwrap());
        assert_eq!(made.mode() & 0o7777, 0o600);
        assert_eq!((made.uid(), made.gid()), (directory.uid(), directory.gid()));
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
    }

    #[test]
    fn root_gives_the_file_to_the_directorys_owner() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let scratch = Scratch::new();
        std::os::unix::fs::chown(&scratch.0, Some(61_234), Some(61_235)).unwrap();
        put(&scratch.file(), "a");
        let made = fs::metadata(scratch.file()).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o7777), (61_234, 61_235, 0o600));
    }

    #[test]
    fn a_file_others_may_use_is_refused_and_says_what_to_run() {
        let scratch = Scratch::new();
        put(&scratch.file(), "a");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o644] {
            fs::set_permissions(scratch.file(), fs::Permissions::from_mode(mode)).unwrap();
            let said = Store::load(&scratch.file()).unwrap_err().to_string();
            assert!(said.contains(&format!("chmod 600 {}", scratch.file().display())), "{said}");
        }
    }

    #[test]
    fn a_link_is_never_written_through() {
        let scratch = Scratch::new();
        let victim = scratch.0.join("victim");
        fs::write(&victim, "[]").unwrap();
        fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&victim, scratch.file()).unwrap();
        assert!(matches!(Store::add(&scratch.file(), wanted("a"), now()), Err(StoreError::NotAFile { .. })));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "[]");
        assert_eq!(Store::load(&scratch.file()).unwrap(), Store::default(), "reading may follow it");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let scratch = Scratch::new();
        rustix::fs::mknodat(CWD, scratch.file(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(matches!(Store::load(&scratch.file()), Err(StoreError::NotAFile { .. })));
        assert!(matches!(Store::load(Path::new("/dev/null")), Err(StoreError::NotAFile { .. })));
        assert!(matches!(Store::load(&scratch.0), Err(StoreError::NotAFile { .. })));
    }

    #[test]
    fn many_at_once_lose_none() {
        let scratch = Scratch::new();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let file = scratch.file();
                scope.spawn(move || (0..10).for_each(|n| put(&file, &format!("t{thread} n{n}"))));
            }
        });
        assert_eq!(Store::load(&scratch.file()).unwrap().records.len(), 80);
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
    }

    #[test]
    fn revoking_takes_an_id_or_a_name_of_one_alone() {
        let scratch = Scratch::new();
        for name in ["old", "twice", "twice"] {
            put(&scratch.file(), name);
        }
        assert_eq!(Store::revoke(&scratch.file(), "old").unwrap().name, "old");
        assert!(Store::revoke(&scratch.file(), "old").unwrap_err().to_string().contains("no token"));
        assert!(Store::revoke(&scratch.file(), "twice").unwrap_err().to_string().contains("several"));
        let id = Store::load(&scratch.file()).unwrap().records[0].id.clone();
        assert_eq!(Store::revoke(&scratch.file(), &id).unwrap().id, id);
        assert_eq!(Store::load(&scratch.file()).unwrap().records.len(), 1);
    }

    #[test]
    fn a_broken_file_is_placed_and_never_quoted_nor_replaced() {
        let scratch = Scratch::new();
        put(&scratch.file(), "a");
        let good = fs::read_to_string(scratch.file()).unwrap();
        for broken in [
            good.replace("system:read", "hunter2"),
            good.replace("created", "hunter2"),
            good.replace("expires: None,", ""),
            good.replace("expires: None,", "expires: Some(\"hunter2\"),"),
            good.replace("$argon2id$", "$hunter2$"),
            good.replace("m=64", "m=99999999"),
            good.replace("argon2id", "argon2d"),
            good.replace("hash:", "hunter2: 1, hash:"),
            good.replace("name: \"a\"", "name: \"hunter2\\n\""),
            format!("{good}{good}"),
            "hunter2".into(),
            String::new(),
            "[".repeat(100_000),
        ] {
            assert_ne!(broken, good);
            let file = scratch.write(&broken);
            let said = Store::load(&file).unwrap_err().to_string();
            assert!(said.contains("tokens.ron:") && !said.contains("hunter2"), "{said}");
            assert!(Store::revoke(&file, "a").is_err());
            assert_eq!(fs::read_to_string(&file).unwrap(), broken);
        }
    }

    #[test]
    fn names_that_could_forge_a_line_or_pass_for_an_id_are_refused() {
        for name in ["", " a", "a\nb", "\u{1b}[2J", "ab\u{202e}cd", "0123abcd", &"a".repeat(65), "é"] {
            assert!(Store::add(&Scratch::new().file(), wanted(name), now()).is_err(), "{name:?}");
        }
        let endless = Wanted { lifetime: Some(Duration::MAX), ..wanted("a") };
        assert!(Store::add(&Scratch::new().file(), endless, now()).unwrap_err().to_string().contains("9999"));
    }

    #[test]
    fn networks_hold_their_addresses_in_either_form() {
        let holds = |network: &str, peer: &str| network.parse::<Network>().unwrap().contains(peer.parse().unwrap());
        assert!(holds("192.0.2.0/24", "192.0.2.255") && holds("192.0.2.0/24", "::ffff:192.0.2.1"));
        assert!(!holds("192.0.2.0/24", "192.0.3.0") && !holds("192.0.2.0/24", "2001:db8::1"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "::1") && !holds("::/0", "203.0.113.9"));
        assert!(holds("2001:db8::/32", "2001:db8:ffff::1") && !holds("2001:db8::/32", "2001:db9::"));
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7/32", "192.0.2.6"));
        for wrong in
            ["", "/", "192.0.2.0/33", "192.0.2.1/24", "::/129", "1.2.3", "::1/", "::1/+8", "a/8", "::ffff:1.2.3.4"]
        {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork), "{wrong}");
        }
    }

    #[test]
    fn times_outside_what_can_be_written_are_none() {
        assert_eq!(Time::new(UNIX_EPOCH - Duration::from_secs(1)), None);
        assert_eq!(Time::new(UNIX_EPOCH + Duration::from_secs(253_402_300_800)), None);
        assert!(Time::try_from("tomorrow".to_owned()).is_err() && Time::try_from("2026-07-28".to_owned()).is_err());
        assert_eq!(Time::try_from("2026-07-28T12:00:00Z".to_owned()).unwrap().to_string(), "2026-07-28T12:00:00Z");
    }
}
