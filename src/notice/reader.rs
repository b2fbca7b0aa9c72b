//! One receiver's thread: reads the journal from its bookmark on, a page at a time, and brings what
//! is wanted to the receiver, in order. Nothing is held in memory but that page, whatever is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::carrier::{Carrier, Outcome};
use super::letter::{Letter, Past, is_wanted};
use super::shared::{News, Shared, instant, locked};
use crate::store::{Bookmark, Record, StoreError};

/// So many records are read at a time.
const PAGE: usize = 200;
/// At the latest after so many deliveries it is written down how far they are, or after such a silence.
const KEEP_AFTER: u32 = 100;
const KEEP_WHEN_QUIET: Duration = Duration::from_millis(500);
/// Before the second try; twice as long before each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub struct Reader {
    /// Which bookmark is its own.
    pub name: String,
    pub target: String,
    pub events: Vec<String>,
    /// In a row.
    pub max_attempts: u32,
    pub carrier: Arc<dyn Carrier>,
    pub shared: Arc<Shared>,
    /// It is not wanted any more: what is due stays due.
    pub dismissed: Arc<AtomicBool>,
}

/// How far it is.
struct Position {
    seq: u64,
    past: Past,
    /// Deliveries that no bookmark knows of.
    unkept: u32,
    /// Whether the bookmark is behind at all.
    moved: bool,
    /// A letter was refused, which was said.
    refused: bool,
}

/// Why a thread ends.
enum End {
    /// All is told, or is to be told by somebody else.
    Through,
    /// What is left is told the next time; in words why.
    Due(String),
    Broken(StoreError),
}

impl From<Option<StoreError>> for End {
    fn from(error: Option<StoreError>) -> Self {
        error.map_or(End::Through, End::Broken)
    }
}

/// While it is there one more is at work. Says at its end, however that comes, what could not be done.
struct AtWork<'a> {
    shared: &'a Shared,
    trouble: Option<String>,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let trouble = self.trouble.take();
        self.shared.tell(|news| {
            news.working -= 1;
            news.trouble.extend(trouble);
        });
    }
}

impl Reader {
    /// Goes on from its bookmark.
    pub fn begin(self) {
        let name = self.carrier.name();
        let trouble = Some(format!("{name}: nothing more is delivered: its thread has failed"));
        let mut at_work = AtWork { shared: &self.shared, trouble };
        at_work.trouble = match self.run() {
            End::Through => None,
            End::Due(why) => Some(format!("{name}: not everything was delivered ({why}); what is due is delivered the next time")),
            End::Broken(error) => Some(format!("{name}: nothing more is delivered: {error}")),
        };
    }

    fn run(&self) -> End {
        let from = match self.shared.bookmark(&self.target, &self.name) {
            Ok(Some(bookmark)) => bookmark,
            // It was let go before it came to begin.
            Ok(None) => return End::Through,
            Err(error) => return error.into(),
        };
        let past = serde_json::from_value(from.note).unwrap_or_default();
        let mut at = Position { seq: from.seq, past, unkept: 0, moved: false, refused: false };
        loop {
            if let Err(end) = self.round(&mut at) {
                return self.keep(&mut at).err().filter(|_| matches!(end, End::Through)).unwrap_or(end);
            }
        }
    }

    /// One page, once there is one.
    fn round(&self, at: &mut Position) -> Result<(), End> {
        let seq = at.seq;
        let more = |news: &News| news.last > seq || news.is_ending() || self.is_dismissed();
        if at.moved && !self.shared.wait_for(KEEP_WHEN_QUIET, more) {
            self.keep(at)?;
        }
        // Only what was the end before the page was read is the end after it.
        let (last, ending) = self.shared.wait(|news| more(news).then_some((news.last, news.is_ending())));
        let page = self.shared.page(&self.target, seq, PAGE)?;
        let is_last = page.len() < PAGE;
        if page.is_empty() {
            // There is nothing there, whatever was said.
            at.seq = seq.max(last);
        }
        for record in &page {
            if self.is_dismissed() {
                break;
            }
            self.take(at, record)?;
        }
        if self.is_dismissed() || (is_last && ending) {
            return Err(End::Through);
        }
        Ok(())
    }

    fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::SeqCst)
    }

    /// Is through with a record, or says why not.
    fn take(&self, at: &mut Position, record: &Record) -> Result<(), End> {
        let mut past = at.past.clone();
        let is_news = past.fold(&record.fact);
        if is_news && is_wanted(&self.events, &record.fact.event()) {
            self.shared.identify(&self.target)?;
            let letter = Letter::new(&self.name, &mut locked(&self.shared.scene), &past, record);
            match letter {
                Ok(letter) => self.bring(at, &letter)?,
                Err(error) => tracing::warn!("{}: event {} cannot be told: {error}", self.carrier.name(), record.seq),
            }
            at.unkept += 1;
        }
        (at.seq, at.past, at.moved) = (record.seq, past, true);
        if at.unkept >= KEEP_AFTER || (at.unkept > 0 && self.shared.look(News::is_ending)) {
            self.keep(at)?;
        }
        Ok(())
    }

    /// Tries until it is there. Where that comes to nothing, leaves off until another run begins.
    fn bring(&self, at: &mut Position, letter: &Letter) -> Result<(), End> {
        loop {
            let runs = self.shared.look(|news| news.runs);
            let Err(why) = self.try_often(at, letter)? else { return Ok(()) };
            if self.shared.look(News::is_ending) || self.is_dismissed() {
                return Err(End::Due(why));
            }
            let name = self.carrier.name();
            tracing::warn!("{name}: {why}; what is due stays due, and is tried again when another run begins");
            self.shared.wait(|news| (news.runs > runs || news.is_ending() || self.is_dismissed()).then_some(()));
            if self.shared.look(News::is_ending) || self.is_dismissed() {
                // That was said.
                return Err(End::Through);
            }
        }
    }

    fn try_often(&self, at: &mut Position, letter: &Letter) -> Result<Result<(), String>, End> {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            match self.carrier.deliver(letter) {
                Outcome::Taken => return Ok(Ok(())),
                Outcome::Refused(why) => {
                    if !std::mem::replace(&mut at.refused, true) {
                        tracing::warn!("{}: `{}` is not told again: {why}", self.carrier.name(), letter.event);
                    }
                    return Ok(Ok(()));
                }
                Outcome::Failed { why, .. } if attempt >= self.max_attempts => return Ok(Err(why)),
                Outcome::Failed { why, wait: asked } => {
                    self.keep(at)?;
                    tracing::debug!("{}: {why}", self.carrier.name());
                    if !self.pause(&mut wait, asked) {
                        return Ok(Err(why));
                    }
                }
            }
            if self.is_dismissed() {
                break;
            }
        }
        Err(End::Through)
    }

    /// Waits before the next try, for what the receiver has `asked`, and as its troubles so far have it. Whether there
    /// is a next try: none is waited for that would come after the end.
    fn pause(&self, wait: &mut Duration, asked: Duration) -> bool {
        let began = instant();
        let mut more = asked.max(*wait);
        *wait = (*wait * 2).min(LONGEST_WAIT);
        if !self.shared.look(News::is_ending) {
            if !self.shared.wait_for(more, |news| news.is_ending() || self.is_dismissed()) {
                return true;
            }
            // How long there was trouble says little of whether it is over: it has one more try, and then all of the end.
            more = asked.saturating_sub(began.elapsed());
            *wait = FIRST_WAIT;
        }
        if self.is_dismissed() || more.is_zero() {
            return true;
        }
        let in_time = self.shared.look(News::left).is_none_or(|left| more <= left);
        in_time && (!self.shared.wait_for(more, |news| news.is_over() || self.is_dismissed()) || self.is_dismissed())
    }

    /// Writes down how far it is.
    fn keep(&self, at: &mut Position) -> Result<(), End> {
        if !at.moved {
            return Ok(());
        }
        let note = serde_json::to_value(&at.past).unwrap_or_default();
        self.shared.keep(&self.target, &self.name, &Bookmark { seq: at.seq, note })?;
        (at.unkept, at.moved) = (0, false);
        Ok(())
    }
}
