//! The scripts, each with the parts that it has in common with others.

use std::sync::LazyLock;

use crate::script::Script;

macro_rules! script {
    ($($part:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!(concat!("../../scripts/control/", $part, ".lua"))),+)))
    };
}

pub(super) static ACQUIRE: LazyLock<Script> = script!("clock", "lock", "acquire");
pub(super) static RENEW: LazyLock<Script> = script!("clock", "lock", "renew");
pub(super) static RELEASE: LazyLock<Script> = script!("clock", "lock", "release");
pub(super) static READ: LazyLock<Script> = script!("clock", "lock", "read");
pub(super) static WRITE: LazyLock<Script> = script!("clock", "lock", "audit", "write");
pub(super) static REPORT: LazyLock<Script> = script!("clock", "report");
pub(super) static RETIRE: LazyLock<Script> = script!("retire");
pub(super) static AMEND: LazyLock<Script> = script!("clock", "audit", "amend");
pub(super) static AMENDMENTS: LazyLock<Script> = script!("amendments");
pub(super) static HEAD: LazyLock<Script> = script!("clock", "audit", "head");
pub(super) static ENTRIES: LazyLock<Script> = script!("clock", "audit", "entries");
pub(super) static PUT_CHUNK: LazyLock<Script> = script!("put_chunk");
pub(super) static PUT_IMAGE: LazyLock<Script> = script!("put_image");
pub(super) static FORGET_IMAGES: LazyLock<Script> = script!("clock", "lock", "forget_images");
