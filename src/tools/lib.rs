//! Every tool there is, one line each, in the order the README lists them.

mod docker;
mod files;
mod system;
pub mod tool;
mod window;

use crate::tool::Entry;

/// The list.
pub const TOOLS: &[Entry] = &[
    Entry::of::<system::overview::Overview>(),
    Entry::of::<system::identity::Identity>(),
    Entry::of::<system::cpu::Cpu>(),
    Entry::of::<system::memory::Memory>(),
    Entry::of::<system::disks::Disks>(),
    Entry::of::<system::network::Network>(),
    Entry::of::<system::processes::Processes>(),
    Entry::of::<system::process::Process>(),
    Entry::of::<system::history::History>(),
    Entry::of::<docker::containers::Containers>(),
    Entry::of::<docker::container::Container>(),
    Entry::of::<docker::stacks::Stacks>(),
    Entry::of::<docker::container_logs::ContainerLogs>(),
    Entry::of::<docker::images::Images>(),
    Entry::of::<docker::volumes::Volumes>(),
    Entry::of::<docker::docker_networks::DockerNetworks>(),
    Entry::of::<docker::docker_events::DockerEvents>(),
    Entry::of::<docker::docker_usage::DockerUsage>(),
    Entry::acting::<docker::container_control::ContainerControl>(),
    Entry::acting::<docker::container_update::ContainerUpdate>(),
    Entry::acting::<docker::container_run::ContainerRun>(),
    Entry::acting::<docker::container_remove::ContainerRemove>(),
    Entry::acting::<docker::image_pull::ImagePull>(),
    Entry::acting::<docker::image_remove::ImageRemove>(),
    Entry::acting::<docker::docker_prune::DockerPrune>(),
    Entry::of::<files::directory::Directory>(),
    Entry::of::<files::file_read::FileRead>(),
    Entry::of::<files::file_info::FileInfo>(),
    Entry::of::<files::file_find::FileFind>(),
    Entry::of::<files::file_grep::FileGrep>(),
    Entry::of::<files::directory_usage::DirectoryUsage>(),
    Entry::acting::<files::file_write::FileWrite>(),
    Entry::acting::<files::file_edit::FileEdit>(),
    Entry::acting::<files::file_move::FileMove>(),
    Entry::acting::<files::directory_create::DirectoryCreate>(),
    Entry::acting::<files::file_remove::FileRemove>(),
];
