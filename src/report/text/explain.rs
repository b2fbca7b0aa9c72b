//! All that is known of one task, for people.

use crate::base::Millis;
use crate::base::text::one_line;
use crate::files::Setting;
use crate::report::explain::Explained;
use crate::report::style::{Hue, Paint, Row, table};
use crate::report::words;

pub fn explain(it: &Explained, now: Millis) -> String {
    let spec = it.spec;
    let place = format!("{}:{}", one_line(&spec.source.file, 200), spec.source.line);
    let mut out = format!("{}  {}  ({place})\n", spec.id, one_line(&spec.title, 200));
    let now_at = it.view().map(|view| {
        let reason = view.reason.as_ref().map(|r| format!(": {}", words::reason(r, now))).unwrap_or_default();
        format!("{}{reason}", words::status(&view))
    });
    out += &format!("  stands at   {}\n", now_at.unwrap_or_else(|| "not recorded yet".into()));
    if let Some(line) = it.line {
        let detail = if line.detail == line.title { String::new() } else { format!("{}; ", one_line(&line.detail, 200)) };
        out += &format!("  an apply    {} {detail}{}\n", line.action.sign(), one_line(&line.reason, 400));
    }
    if let Some(task) = it.before {
        let attempt = format!("{} of {} attempts failed, {} made", task.failures, spec.retry.max_attempts, task.attempts);
        out += &format!("  attempts    {attempt}\n");
        out.extend(task.last_failure.as_ref().filter(|_| !task.is_completed()).map(|f| {
            let first = f.message.lines().next().unwrap_or_default();
            format!("  last failed {}: {}\n", words::failure(f.class), one_line(first, 400))
        }));
    }
    out.extend(it.before.iter().flat_map(|t| &t.hints).map(|h| format!("  hint        {}\n", one_line(&h.text, 400))));
    for (id, stands) in it.needs(now) {
        out += &format!("  needs       {id}, {stands}\n");
    }
    let needed_by: Vec<&str> = it.needed_by.iter().map(|id| id.as_str()).collect();
    if !needed_by.is_empty() {
        out += &format!("  needed by   {}\n", words::some(needed_by.into_iter()));
    }
    let changes = it.changes();
    if !changes.is_empty() {
        out += &format!("Changed since it was recorded:\n{}", changes.iter().map(|l| format!("  {l}\n")).collect::<String>());
    }
    out += "Settings:\n";
    let rows: Vec<Row> = it.settings.iter().map(row).collect();
    out += &table(&rows, Paint { on: false });
    out
}

fn row(setting: &Setting) -> Row {
    let from = match &setting.place {
        Some((file, line)) => format!("{file}:{line}  {}", setting.from),
        None => setting.from.clone(),
    };
    Row { hue: Hue::Plain, sign: ' ', cells: vec![setting.key.clone(), one_line(&setting.value, 60), one_line(&from, 200)] }
}
