//! What the server does in one step: scripts in Lua, sent whole each time, so that a server that lost them needs no
//! second try.

use crate::resp::{array, bulk};

macro_rules! script {
    ($($part:literal),+) => { Script(concat!($(include_str!($part)),+)) };
}

pub(crate) const DELAY: Script = script!("put.lua", "delay.lua");
pub(crate) const DEPTH: Script = script!("common.lua", "depth.lua");
pub(crate) const ENSURE: Script = script!("ensure.lua");
pub(crate) const ENSURE_DEAD: Script = script!("ensure_dead.lua");
pub(crate) const EXTEND: Script = script!("extend.lua");
pub(crate) const JOIN: Script = script!("allow_oom.lua", "common.lua", "join.lua");
pub(crate) const LEAVE: Script = script!("leave.lua");
pub(crate) const OWN: Script = script!("allow_oom.lua", "common.lua", "own.lua");
pub(crate) const PURGE: Script = script!("common.lua", "purge.lua");
pub(crate) const RELEASE: Script = script!("release.lua");
pub(crate) const REPLACE: Script = script!("put.lua", "replace.lua");
pub(crate) const SETTLE: Script = script!("settle.lua");
pub(crate) const SHARE: Script = script!("allow_oom.lua", "common.lua", "share.lua");
pub(crate) const SWEEP: Script = script!("allow_oom.lua", "common.lua", "sweep.lua");
pub(crate) const UPKEEP: Script = script!("common.lua", "upkeep.lua");

/// A script. Its head says what it takes and what it returns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script(&'static str);

impl Script {
    /// Begins a call: so many arguments have to follow.
    pub(crate) fn begin(self, to: &mut Vec<u8>, keys: &[&str], arguments: usize) {
        array(to, 3 + keys.len() + arguments);
        bulk(to, b"EVAL");
        bulk(to, self.0.as_bytes());
        crate::resp::number(to, keys.len() as u64);
        keys.iter().for_each(|key| bulk(to, key.as_bytes()));
    }

    /// A whole call.
    pub(crate) fn call(self, to: &mut Vec<u8>, keys: &[&str], arguments: &[&[u8]]) {
        self.begin(to, keys, arguments.len());
        arguments.iter().for_each(|argument| bulk(to, argument));
    }
}
