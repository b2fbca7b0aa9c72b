//! `drover status`: where everything stands, also while another process applies.

use super::args::{Global, StatusArgs};
use super::context;
use super::exit::{CliResult, Exit, Failure};
use super::terminal::Terminal;
use crate::engine::driver::now;
use crate::report;
use crate::report::text::StatusOptions;
use crate::store::{lock, redb};

pub fn run(global: &Global, terminal: &Terminal, args: &StatusArgs) -> CliResult {
    let repo = context::repository(global)?;
    let target = context::recorded_target(global, &repo)?;
    let Some(state) = redb::snapshot(&repo.state_dir(), &target)? else {
        return Err(Failure::unfit(format!("nothing is recorded for `{target}` yet\n  Run `drover apply`.")));
    };
    if terminal.json {
        terminal.json(&report::json::status(&state, now()));
    } else {
        let deserted = !lock::is_held(&repo.state_dir());
        let options = StatusOptions { tree: args.tree, oneline: args.oneline, color: terminal.color_out, deserted };
        terminal.out(&report::text::status(&state, now(), options));
    }
    Ok(Exit::Done)
}
