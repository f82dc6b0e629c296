//! Which image a caller means, and how an image may be named.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Docker,
    model::{SHORT, digits, or_default, short},
};
use kernel::failure::Failure;

/// The longest name of a repository, as the registries have it.
const LONGEST_NAME: usize = 255;

/// The registry of names that have none, and its other name.
pub(super) const DEFAULT_REGISTRY: &str = "docker.io";
pub(super) const ALIAS: &str = "index.docker.io";

/// What Podman takes for the way to an image where a registry's host could stand: `dir:5/x` is a directory of the machine to it.
const TRANSPORTS: &[&str] = &[
    "atomic",
    "containers-storage",
    "dir",
    "docker",
    "docker-archive",
    "docker-daemon",
    "http",
    "https",
    "oci",
    "oci-archive",
    "ostree",
    "sif",
    "tarball",
];

/// An image by name: `registry:port/repository:tag@digest`, of which all but the repository may be missing. Has no character that means
/// anything in a path or a query but `/`, `:` and `@`, and no part that is `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// With its registry, if that is named.
    pub name: String,
    /// What it is called there.
    pub tag: Option<String>,
    /// What it is, whatever it is called.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads it as Docker does. Without tag and digest it is the tag `latest`: the Engine would take it for all tags there are.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        Self::read(text).ok_or_else(|| {
            let shown: String = text.chars().take(100).collect();
            Failure::Invalid(format!("{shown:?} is no image: expected [registry/]repository[:tag][@sha256:digest]"))
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest).filter(|digest| is_digest(digest))?),
            None => (text, ""),
        };
        // the colon of a registry's port stands before a slash
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag).filter(|tag| is_tag(tag))?),
            _ => (rest, ""),
        };
        let digest = Some(digest.to_owned()).filter(|digest| !digest.is_empty());
        let tag = match tag {
            "" => digest.is_none().then(|| "latest".to_owned()),
            tag => Some(tag.to_owned()),
        };
        is_name(name).then(|| Self { name: name.to_owned(), tag, digest })
    }

    /// The tag to ask a registry for, or the digest, which is the surer of the two.
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// The registry it is in, whether or not that is written: as Docker reads a name, and Podman one that has a registry.
    pub fn registry(&self) -> &str {
        match registry_of(&self.name) {
            Some(ALIAS) | None => DEFAULT_REGISTRY,
            Some(registry) => registry,
        }
    }

    /// The whole name of the repository: registry and path, `docker.io/library/busybox` for `busybox`. Podman searches for a shorter
    /// one, among the images that are there and in its registries.
    pub fn repository(&self) -> String {
        let path = registry_of(&self.name).map_or(&self.name[..], |registry| &self.name[registry.len() + 1..]);
        let registry = self.registry();
        let library = if registry == DEFAULT_REGISTRY && !path.contains('/') { "library/" } else { "" };
        format!("{registry}/{library}{path}")
    }

    /// The same with its whole name.
    pub fn whole(&self) -> Self {
        Self { name: self.repository(), ..self.clone() }
    }

    /// Whether `listed`, a tag or digest that the Engine tells of an image, is this one by its whole name.
    pub fn is_exactly(&self, listed: &str) -> bool {
        let Some(listed) = Self::read(listed) else { return false };
        let is_version = match (&self.digest, &listed.digest) {
            // the tag beside a digest says nothing
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, None) => self.tag == listed.tag,
            _ => false,
        };
        is_version && self.repository() == listed.repository()
    }

    /// Whether `listed`, a tag or digest of the Engine's list, is this.
    fn is(&self, listed: &str) -> bool {
        let Some(listed) = Self::read(listed) else { return false };
        let same = match (&self.digest, &listed.digest) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, None) => self.tag == listed.tag,
            _ => false,
        };
        let theirs = familiar(&listed.name);
        // Podman puts this before what was made on the machine
        same && (theirs == familiar(&self.name) || theirs.strip_prefix("localhost/") == Some(&self.name))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

/// One of `GET /images/json`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// `sha256:` and 64 hexadecimal digits; Podman leaves out the first part.
    pub id: String,
    /// What it is called; `<none>:<none>` for nothing.
    #[serde(default, deserialize_with = "or_default")]
    pub repo_tags: Vec<String>,
    /// What registries know it by.
    #[serde(default, deserialize_with = "or_default")]
    pub repo_digests: Vec<String>,
    /// All its layers, in bytes.
    #[serde(default)]
    pub size: Option<u64>,
}

impl Image {
    /// What it is called.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.repo_tags.iter().map(String::as_str).filter(|tag| !tag.starts_with("<none>"))
    }

    /// What people know it by: its first name, else its short id.
    pub fn title(&self) -> &str {
        self.tags().next().unwrap_or_else(|| short(&self.id))
    }

    /// Whether `id` is its id, with or without the `sha256:`.
    pub fn has_id(&self, id: &str) -> bool {
        digits(&self.id) == digits(id)
    }

    /// The id and the names that `inspect` tells, which is what the Engine says of an image, unread. None if it is null.
    pub fn of(inspect: &Value) -> Self {
        let texts = |key: &str| {
            let all = inspect[key].as_array().into_iter().flatten();
            all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
        };
        Self {
            id: inspect["Id"].as_str().unwrap_or_default().to_owned(),
            repo_tags: texts("RepoTags"),
            repo_digests: texts("RepoDigests"),
            size: None,
        }
    }

    /// Every tag and digest that it has. One that has lost its name is called otherwise by the Engine, for its own use.
    fn names(&self) -> impl Iterator<Item = &str> {
        let is_name = |name: &&str| !name.starts_with("<none>") && !name.starts_with("moby-dangling@");
        self.repo_tags.iter().chain(&self.repo_digests).map(String::as_str).filter(is_name)
    }

    /// Whether the Engine lists it by this very name, registry and all.
    pub fn is_exactly(&self, reference: &Reference) -> bool {
        self.names().any(|name| reference.is_exactly(name))
    }

    /// Whether the Engine lists it in this repository, named by registry and path; `None` if it has no name at all.
    pub fn is_in(&self, repository: &str) -> Option<bool> {
        let mut names = self.names().filter_map(Reference::read).peekable();
        names.peek()?;
        Some(names.any(|name| name.repository() == repository))
    }

    /// Whether it is called so.
    pub fn is(&self, reference: &Reference) -> bool {
        self.repo_tags.iter().chain(&self.repo_digests).any(|listed| reference.is(listed))
    }
}

/// What a caller's word was found to mean.
#[derive(Clone, Debug)]
pub struct Found {
    /// The image.
    pub image: Image,
    /// The tag it was named by; `None` if it was named by id or digest.
    pub tag: Option<String>,
}

impl Docker {
    /// Every image there is but those that only others are made of.
    pub async fn images(&self) -> Result<Vec<Image>, Failure> {
        self.get("/images/json").await
    }

    /// The one image that `name` means: its name, its full id, or the twelve digits that are shown. No other beginning of an id: a name
    /// that is gone would be another image, to be removed or to be run.
    pub async fn find_image(&self, name: &str) -> Result<Found, Failure> {
        let (images, containers) = futures_util::future::try_join(self.images(), self.all_containers()).await?;
        let users = |image: &Image| containers.iter().filter(|one| image.has_id(&one.image_id)).collect::<Vec<_>>();
        one_of(images, name, |image| self.allow.shows_what_is_of(users(image)))
    }
}

/// Who knows the name of one that is not shown may ask for it; by its id or digest nobody learns it.
fn one_of(all: Vec<Image>, name: &str, is_shown: impl Fn(&Image) -> bool) -> Result<Found, Failure> {
    let is_hexadecimal = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let reference = Reference::read(name);
    if let Some(reference) = &reference
        && let Some(image) = all
            .iter()
            .find(|image| image.is_exactly(reference))
            .or_else(|| all.iter().find(|image| image.is(reference)))
    {
        let tag = image.tags().find(|tag| reference.is(tag)).map(str::to_owned);
        if tag.is_some() || is_shown(image) {
            return Ok(Found { image: image.clone(), tag });
        }
    }
    let wanted = digits(name);
    if !is_hexadecimal(wanted) || ![SHORT, 64].contains(&wanted.len()) {
        // says what is wrong with it, if something is
        return Reference::parse(name).and_then(|reference| Err(Failure::NotFound(format!("an image {reference}"))));
    }
    let begins = |image: &&Image| digits(&image.id).starts_with(wanted);
    let begin: Vec<&Image> = all.iter().filter(begins).filter(|image| is_shown(image)).collect();
    match &begin[..] {
        [] => Err(Failure::NotFound(format!("an image {name:?}"))),
        [one] => Ok(Found { image: (*one).clone(), tag: None }),
        several => {
            let candidates: Vec<_> =
                several.iter().take(10).map(|image| format!("{} ({})", image.title(), short(&image.id))).collect();
            Err(Failure::Invalid(format!("{name:?} may be each of {}; say which", candidates.join(", "))))
        }
    }
}

/// As Docker shows it: what is of its own registry stands without it.
fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")).unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// The registry that stands in a name: its first part, if that could be no part of a repository's name, or is this machine's.
fn registry_of(name: &str) -> Option<&str> {
    let (first, _) = name.split_once('/')?;
    (first.contains(['.', ':']) || first == "localhost" || has_capitals(first)).then_some(first)
}

fn is_name(name: &str) -> bool {
    if name.len() > LONGEST_NAME {
        return false;
    }
    let registry = registry_of(name);
    let path = registry.map_or(name, |registry| &name[registry.len() + 1..]);
    registry.is_none_or(is_registry) && path.split('/').all(is_component)
}

fn has_capitals(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// A host, with a port or without.
pub(super) fn is_registry(registry: &str) -> bool {
    let (host, port) = registry.split_once(':').unwrap_or((registry, "0"));
    if TRANSPORTS.iter().any(|transport| transport.eq_ignore_ascii_case(host)) {
        return false;
    }
    let is_label = |label: &str| {
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        ends(bytes.first())
            && ends(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    host.split('.').all(is_label) && (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Letters and digits, between which stand `.`, `_`, `__` or dashes.
fn is_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = component.split(|c: char| c.is_ascii() && is_word(c as u8)).filter(|part| !part.is_empty());
    let (first, last) = (component.bytes().next(), component.bytes().next_back());
    first.is_some_and(is_word)
        && last.is_some_and(is_word)
        && separators.into_iter().all(|part| matches!(part, "." | "_" | "__") || part.bytes().all(|byte| byte == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let hexadecimal = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match digest.split_once(':') {
        Some(("sha256", digits)) => digits.len() == 64 && hexadecimal(digits),
        Some(("sha512", digits)) => digits.len() == 128 && hexadecimal(digits),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest() -> String {
        format!("sha256:{}", "0123456789abcdef".repeat(4))
    }

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let digest = digest();
        for (text, name, tag, by_digest) in [
            ("busybox", "busybox", Some("latest"), false),
            ("t/bb:1", "t/bb", Some("1"), false),
            ("localhost:5000/a/b_c/d--e:V1.2-x", "localhost:5000/a/b_c/d--e", Some("V1.2-x"), false),
            ("localhost:5000/a", "localhost:5000/a", Some("latest"), false),
            ("ghcr.io/o/r", "ghcr.io/o/r", Some("latest"), false),
            ("Registry/x", "Registry/x", Some("latest"), false),
            (&format!("a@{digest}"), "a", None, true),
            (&format!("r.io/a:1@{digest}"), "r.io/a", Some("1"), true),
        ] {
            let expected =
                Reference { name: name.into(), tag: tag.map(str::to_owned), digest: by_digest.then(|| digest.clone()) };
            assert_eq!(Reference::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn nothing_that_could_lead_elsewhere_is_a_reference() {
        let long = "a".repeat(10 << 10);
        for text in [
            "",
            "/",
            ".",
            "..",
            "a/..",
            "../a",
            "a/../b",
            "a//b",
            "/a",
            "a/",
            "a/./b",
            "http://r.io/a",
            "https://r.io/a:1",
            "file:///etc",
            "a?b",
            "a&tag=b",
            "a#b",
            "a%2fb",
            "a%00",
            "a b",
            " a",
            "a\n",
            "a\nb",
            "a\0",
            "a:b:c",
            "a:",
            "a:/b",
            ":1",
            "@",
            "a@",
            "a@sha256:12",
            "a@md5:12",
            "a@b@c",
            "A",
            "a/B",
            "a_",
            "-a",
            "a___b",
            "a..b",
            "a._b",
            "r.io:port/a",
            "r.io:/a",
            "r..io/a",
            "-r.io/a",
            "[::1]:5000/a",
            "a:\u{ff11}",
            "b\u{fc}x",
            "a:.1",
            "user:pass@r.io/a",
            "a\\b",
            "$(x)",
            "dir:5/y",
            "oci:5/y:1",
            "oci-archive:5/y",
            "docker-archive:5/y",
            "docker-daemon:5/y",
            "docker:5/y",
            "docker://x",
            "containers-storage:5/y",
            "sif:5/y",
            "tarball:5/y",
            "ostree:5/y",
            "atomic:5/y",
            "DIR:5/y",
            &long,
            &format!("a:{}", "1".repeat(129)),
            &format!("a@{}", digest().to_uppercase()),
        ] {
            let why = Reference::parse(text).unwrap_err().to_string();
            assert!(why.contains("is no image") && why.len() < 600, "{text}: {why}");
        }
    }

    #[test]
    fn a_short_name_stands_for_one_whole_name() {
        for (text, registry, repository) in [
            ("web", "docker.io", "docker.io/library/web"),
            ("web:2", "docker.io", "docker.io/library/web"),
            ("team/web", "docker.io", "docker.io/team/web"),
            ("docker.io/web", "docker.io", "docker.io/library/web"),
            ("index.docker.io/library/web:1", "docker.io", "docker.io/library/web"),
            ("localhost/t/bb:1", "localhost", "localhost/t/bb"),
            ("localhost:5000/web", "localhost:5000", "localhost:5000/web"),
            ("r.example/web", "r.example", "r.example/web"),
            ("dir:5", "docker.io", "docker.io/library/dir"),
            ("2130706433/web", "docker.io", "docker.io/2130706433/web"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((reference.registry(), &reference.repository()[..]), (registry, repository), "{text}");
        }
    }

    #[test]
    fn an_image_has_a_name_only_if_the_engine_lists_the_whole_of_it() {
        let digest = digest();
        let is = |text: &str, listed: &str| Reference::parse(text).unwrap().is_exactly(listed);
        for (text, listed) in [
            ("web:2", "web:2"),
            ("web:2", "docker.io/library/web:2"),
            ("docker.io/corp/agent:1", "corp/agent:1"),
            ("localhost/t/bb:1", "localhost/t/bb:1"),
            (&format!("corp/agent:1@{digest}"), &format!("docker.io/corp/agent@{digest}")),
        ] {
            assert!(is(text, listed), "{text} {listed}");
        }
        for (text, listed) in [
            ("corp/agent:2", "attacker.example/corp/agent:2"),
            ("t/bb:1", "localhost/t/bb:1"),
            ("web:2", "web:3"),
            ("web", "attacker.example/web:latest"),
            (&format!("docker.io/corp/agent@{digest}"), &format!("docker.io/attacker/x@{digest}")),
            (&format!("corp/agent@{digest}"), "corp/agent:latest"),
            ("corp/agent", "<none>:<none>"),
        ] {
            assert!(!is(text, listed), "{text} {listed}");
        }
    }

    fn image(id: &str, tags: &[&str], digests: &[&str]) -> Image {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Image { id: format!("sha256:{id}"), repo_tags: all(tags), repo_digests: all(digests), size: None }
    }

    #[test]
    fn a_word_means_one_image_or_none() {
        let by_digest = format!("r.io/web@{}", digest());
        let abc = |last: &str| format!("abc{last}").repeat(16);
        let all = || {
            vec![
                image(&abc("1"), &["busybox:latest", "r.io/web:1"], &[&by_digest]),
                image(&abc("2"), &["<none>:<none>"], &["<none>@<none>"]),
                image(&"def3".repeat(16), &["localhost/t/bb:1", "abc1:latest", "cafe:latest"], &[]),
            ]
        };
        let of = |name: &str| {
            one_of(all(), name, |_| true).map(|found| (digits(&found.image.id)[8..12].to_owned(), found.tag))
        };
        for (name, id, tag) in [
            ("busybox", "abc1", Some("busybox:latest")),
            ("docker.io/library/busybox:latest", "abc1", Some("busybox:latest")),
            ("r.io/web:1", "abc1", Some("r.io/web:1")),
            (&*by_digest, "abc1", None),
            ("abc2abc2abc2", "abc2", None),
            (&abc("2"), "abc2", None),
            (&format!("sha256:{}", abc("2")), "abc2", None),
            ("t/bb:1", "def3", Some("localhost/t/bb:1")),
            // a name goes before an id
            ("abc1", "def3", Some("abc1:latest")),
            ("cafe", "def3", Some("cafe:latest")),
        ] {
            assert_eq!(of(name).unwrap(), (id.to_owned(), tag.map(str::to_owned)), "{name}");
        }
        // what is not shown is told by a name of its own alone
        let hidden = |name: &str| one_of(all(), name, |image| !image.has_id(&abc("1"))).map(|found| found.tag);
        assert_eq!(hidden("r.io/web:1").unwrap().as_deref(), Some("r.io/web:1"));
        assert!(hidden("abc2abc2abc2").is_ok());
        for name in ["abc1abc1abc1", &format!("sha256:{}", abc("1")), &by_digest] {
            let why = hidden(name).map(|_| ()).unwrap_err().to_string();
            assert!(!why.contains("busybox"), "{name}: {why}");
        }
        for name in ["busybox:1", "r.io/web", "web:1", "eee", "<none>:<none>", "<none>", "", "sha256:", "../x"] {
            assert!(of(name).is_err(), "{name}");
        }
        // a name that is gone is not somebody else's id
        for name in ["a", "abc", "abc2", "abc2abc2abc", "abc2abc2abc2a", "sha256:abc2", "def3"] {
            assert!(matches!(of(name), Err(Failure::NotFound(_))), "{name}");
        }
        // two with the same digits are told apart
        let twins = || [abc("2"), format!("abc2abc2abc2{}", "0".repeat(52))].map(|id| image(&id, &[], &[])).to_vec();
        let why = one_of(twins(), "abc2abc2abc2", |_| true).unwrap_err().to_string();
        assert!(why.contains("abc2abc2abc2 (abc2abc2abc2)"), "{why}");
    }
}
