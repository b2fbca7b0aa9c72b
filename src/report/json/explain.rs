//! All that is known of one task, as JSON.

use serde_json::{Value, json};

use super::FORMAT_VERSION;
use crate::base::Millis;
use crate::report::explain::Explained;
use crate::report::words;

pub fn explain(it: &Explained, now: Millis) -> Value {
    let (spec, view) = (it.spec, it.view());
    let settings = it.settings.iter().map(|s| {
        let (file, line) = s.place.clone().unzip();
        json!({ "key": s.key, "value": s.value, "from": s.from, "file": file, "line": line })
    });
    json!({
        "format_version": FORMAT_VERSION,
        "task": spec.id.as_str(),
        "title": spec.title,
        "source": { "file": spec.source.file, "line": spec.source.line, "column": spec.source.column },
        "status": view.as_ref().map(|v| v.status.name()),
        "phase": view.as_ref().and_then(|v| v.phase),
        "reason": view.as_ref().and_then(|v| v.reason.as_ref()).map(|r| words::reason(r, now)),
        "plan": it.line.map(|l| json!({ "sign": l.action.sign().to_string(), "detail": l.detail, "reason": l.reason })),
        "attempts_made": it.before.map_or(0, |t| t.attempts),
        "failures": it.before.map_or(0, |t| t.failures),
        "max_attempts": spec.retry.max_attempts,
        "failure": it.before.and_then(|t| t.last_failure.as_ref()).map(|f| json!({ "class": f.class.name(), "message": f.message })),
        "hints": it.before.iter().flat_map(|t| &t.hints).map(|h| json!({ "at": h.at.0, "text": h.text })).collect::<Vec<_>>(),
        "needs": it.needs(now).into_iter().map(|(id, stands)| json!({ "id": id.as_str(), "stands": stands })).collect::<Vec<_>>(),
        "needed_by": it.needed_by.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        "changed": it.changes(),
        "settings": settings.collect::<Vec<_>>(),
    })
}
