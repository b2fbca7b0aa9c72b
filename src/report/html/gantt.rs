//! The timeline: a row for each worker, a bar for each attempt, a colour for each phase.

use std::collections::BTreeMap;
use std::time::Duration;

use super::markup::line;
use crate::base::{Millis, TaskId, format_duration};
use crate::report::chronicle::{Attempt, CameTo, Chronicle, Phase, Stint};

/// In units of the drawing.
const WIDTH: f64 = 1160.0;
const GUTTER: f64 = 76.0;
const ROW: f64 = 44.0;
const TOP: f64 = 30.0;
const BAR: f64 = 16.0;
/// Of one letter of a label.
const LETTER: f64 = 6.7;
/// A bar is never narrower: what took no time was there all the same.
const LEAST: f64 = 2.0;

pub fn timeline(it: &Chronicle) -> String {
    if it.lanes == 0 {
        return "<section>\n<h2>Timeline</h2>\n<p class=\"none\">No attempt was made.</p>\n</section>\n".into();
    }
    let scale = Scale { from: it.began, span: it.took().as_millis().max(1) as f64 };
    let height = TOP + ROW * it.lanes as f64 + 6.0;
    let mut out = format!(
        "<section>\n<h2>Timeline</h2>\n{}<div class=\"wide\">\n<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Attempts by worker over time\" xmlns=\"http://www.w3.org/2000/svg\">\n\
         <defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect class=\"hatch\" width=\"2.4\" height=\"6\"/></pattern></defs>\n",
        legend(it),
    );
    out += &axis(&scale, it.took(), height);
    for lane in 0..it.lanes {
        let y = row(lane);
        out += &format!("<text class=\"lane\" x=\"0\" y=\"{}\">worker {}</text>\n", y + 28.0, lane + 1);
        out += &format!("<line class=\"rule\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\"/>\n");
    }
    out += &bars(it, &scale);
    out += &chain(it, &scale);
    out + "</svg>\n</div>\n" + &critical(it) + "</section>\n"
}

/// From times to places.
struct Scale {
    from: Millis,
    span: f64,
}

impl Scale {
    fn x(&self, at: Millis) -> f64 {
        GUTTER + at.since(self.from).as_millis() as f64 / self.span * (WIDTH - GUTTER - 8.0)
    }
}

fn row(lane: usize) -> f64 {
    TOP + ROW * lane as f64
}

fn legend(it: &Chronicle) -> String {
    let used = |phase: &&Phase| it.attempts.iter().flat_map(|a| &a.stints).flat_map(|s| &s.spans).any(|s| s.phase == **phase);
    let item = |phase: &Phase| format!("<li><i class=\"k-{}\"></i>{}</li>", phase.name(), told(*phase));
    let phases: String = Phase::ALL.iter().filter(used).map(item).collect();
    let failed = it.attempts.iter().any(|a| matches!(a.came_to, CameTo::Failed { .. }));
    let failed = if failed { "<li><i class=\"k-failed\"></i>failed</li>" } else { "" };
    format!("<ul class=\"legend\">{phases}{failed}<li><i class=\"k-critical\"></i>critical path</li></ul>\n")
}

fn told(phase: Phase) -> &'static str {
    match phase {
        Phase::Queue => "waits to land",
        other => other.name(),
    }
}

/// Times that people count in, in milliseconds.
const STEPS: [u64; 22] = [
    1,
    5,
    20,
    100,
    200,
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    1_800_000,
    3_600_000,
    7_200_000,
    14_400_000,
    43_200_000,
    86_400_000,
    604_800_000,
];

fn axis(scale: &Scale, took: Duration, height: f64) -> String {
    let all = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let step = STEPS.iter().copied().find(|step| all / step <= 8).unwrap_or(all / 8);
    let tick = |n: u64| {
        let x = scale.x(Millis(scale.from.0.saturating_add(n * step)));
        let label = if n == 0 { "0".to_owned() } else { format_duration(Duration::from_millis(n * step)) };
        format!(
            "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{height}\"/><text class=\"time\" x=\"{x:.1}\" y=\"14\">{label}</text>\n",
            TOP - 8.0
        )
    };
    (0..=(all / step.max(1)).min(16)).map(tick).collect()
}

fn bars(it: &Chronicle, scale: &Scale) -> String {
    // Where the next bar of each row begins, from the last one backwards: so far a label may go.
    let mut stints: Vec<(&Attempt, &Stint)> = it.attempts.iter().flat_map(|a| a.stints.iter().map(move |s| (a, s))).collect();
    stints.sort_by_key(|(_, stint)| std::cmp::Reverse(began(stint)));
    let mut next: BTreeMap<usize, f64> = BTreeMap::new();
    let mut out = Vec::new();
    for (attempt, stint) in stints {
        let x = scale.x(began(stint));
        let room = next.insert(stint.lane, x).unwrap_or(WIDTH) - x - 4.0;
        out.push(bar(it, attempt, stint, scale, room));
    }
    out.reverse();
    out.concat()
}

fn began(stint: &Stint) -> Millis {
    stint.spans.first().map_or(Millis(0), |span| span.from)
}

fn ended(stint: &Stint) -> Millis {
    stint.spans.last().map_or(Millis(0), |span| span.to)
}

fn bar(it: &Chronicle, attempt: &Attempt, stint: &Stint, scale: &Scale, room: f64) -> String {
    let y = row(stint.lane) + 20.0;
    let x = scale.x(began(stint));
    let width = (scale.x(ended(stint)) - x).max(LEAST);
    let is_last = attempt.stints.last() == Some(stint);
    let failed = is_last && matches!(attempt.came_to, CameTo::Failed { .. });
    let critical = it.critical.contains(&attempt.task);
    let mut inside = String::new();
    for span in &stint.spans {
        let from = scale.x(span.from);
        let wide = (scale.x(span.to) - from).max(0.6);
        inside += &format!("<rect class=\"p-{}\" x=\"{from:.1}\" y=\"{y}\" width=\"{wide:.1}\" height=\"{BAR}\"/>", span.phase.name());
    }
    if failed {
        inside += &format!("<rect fill=\"url(#hatch)\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\"/>");
    }
    let class = format!("{}{}", if failed { " failed" } else { "" }, if critical { " critical" } else { "" });
    inside += &format!("<rect class=\"frame{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"3\"/>");
    format!("<a href=\"#task-{}\"><title>{}</title>{inside}{}</a>\n", attempt.task, tip(it, attempt), label(attempt, x, y, room))
}

/// What is told when a pointer rests on a bar.
fn tip(it: &Chronicle, attempt: &Attempt) -> String {
    let mut phases: BTreeMap<Phase, Duration> = BTreeMap::new();
    for span in attempt.stints.iter().flat_map(|s| &s.spans) {
        *phases.entry(span.phase).or_default() += span.to.since(span.from);
    }
    let phases: Vec<String> = phases.iter().map(|(phase, took)| format!("{} {}", told(*phase), format_duration(*took))).collect();
    let text = format!("{}: {}", attempt.task, it.title(&attempt.task));
    let how = attempt.came_to.name().replace('_', " ");
    format!(
        "{} — attempt {}, {how}, {}: {}",
        line(&text, 200),
        attempt.no,
        format_duration(attempt.ended.since(attempt.began)),
        phases.join(", ")
    )
}

fn label(attempt: &Attempt, x: f64, y: f64, room: f64) -> String {
    let again = if attempt.no > 1 { format!(" #{}", attempt.no) } else { String::new() };
    let sign = match attempt.came_to {
        CameTo::Landed { .. } | CameTo::Done => "✓ ",
        CameTo::Failed { .. } => "✗ ",
        CameTo::UnderWay => "",
        _ => "· ",
    };
    let text = format!("{sign}{}{again}", attempt.task);
    let letters = (room / LETTER).max(0.0) as usize;
    let text = match text.chars().count() {
        all if all <= letters => text,
        _ if letters >= 5 => format!("{}…", text.chars().take(letters - 1).collect::<String>()),
        _ => return String::new(),
    };
    format!("<text class=\"name\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>", y - 5.0, line(&text, 200))
}

/// Lines from each task of the critical path to the next.
fn chain(it: &Chronicle, scale: &Scale) -> String {
    let link = |pair: &[TaskId]| {
        let before = stints(it, &pair[0]).max_by_key(|s| ended(s))?;
        let after = stints(it, &pair[1]).min_by_key(|s| began(s))?;
        let (x1, y1) = (scale.x(ended(before)), row(before.lane) + 20.0 + BAR / 2.0);
        let (x2, y2) = (scale.x(began(after)), row(after.lane) + 20.0 + BAR / 2.0);
        let bend = ((x2 - x1).abs() / 2.0).clamp(4.0, 30.0);
        Some(format!("<path class=\"chain\" d=\"M{x1:.1} {y1} C{:.1} {y1} {:.1} {y2} {x2:.1} {y2}\"/>\n", x1 + bend, x2 - bend))
    };
    it.critical.windows(2).filter_map(link).collect()
}

fn stints<'a>(it: &'a Chronicle, id: &'a TaskId) -> impl Iterator<Item = &'a Stint> {
    it.attempts.iter().filter(move |a| a.task == *id).flat_map(|a| &a.stints)
}

/// The critical path in words.
fn critical(it: &Chronicle) -> String {
    let step = |id: &TaskId| {
        let took = it.sum(|other| other == id).took;
        format!("<li><a href=\"#task-{id}\">{id} <small>{}</small></a></li>", format_duration(took))
    };
    let steps: String = it.critical.iter().map(step).collect();
    format!("<p class=\"path\">Critical path: what ended last, and what that waited for.</p>\n<ol class=\"path\">{steps}</ol>\n")
}
