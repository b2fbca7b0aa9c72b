//! `drover status`: where everything stands, also while another process applies.

use std::time::Duration;

use super::args::{Global, StatusArgs};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use crate::engine::driver::now;
use crate::report;
use crate::store::{lock, redb};

pub fn run(global: &Global, terminal: &Terminal, args: &StatusArgs) -> CliResult {
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let dir = repo.state_dir();
    let state = redb::snapshot(&dir, &target)?;
    let Some(state) = state else {
        return Err(Failure::unfit(format!("nothing is recorded for `{target}` yet\n  Run `drover apply`.")));
    };
    let active = lock::holder(&dir, Duration::ZERO);
    let options = report::StatusOptions { tree: args.tree, oneline: args.oneline, color: terminal.color_out, active };
    if terminal.json {
        terminal.json(&report::json::status(&state, &target, now(), &options));
    } else {
        terminal.out(&report::text::status(&state, &target, now(), &options));
    }
    Ok(Exit::Done)
}
