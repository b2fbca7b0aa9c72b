//! Names of traces and spans that follow from ids alone, and the W3C header that carries them.
//!
//! Nothing is drawn by chance: a Drover that takes an attempt over gives its spans the names that the
//! one before it gave them, and an agent is told its parent before anybody has recorded that.

use super::{Aid, RunId};
use sha2::{Digest as _, Sha256};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceId(pub [u8; 16]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanId(pub [u8; 8]);

/// A span of some trace, and whether it is recorded: what a header `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    pub trace: TraceId,
    pub span: SpanId,
    pub sampled: bool,
}

impl TraceId {
    /// The trace of a run has the run's id, where that is a UUID.
    pub fn of(run: &RunId) -> Self {
        Self(bytes(run.as_str()).unwrap_or_else(|| hashed(run.as_str())))
    }
    /// The trace of the run that claimed the attempt.
    pub fn of_attempt(aid: &Aid) -> Self {
        Self::of(&aid.run())
    }
}

impl SpanId {
    pub fn of(run: &RunId) -> Self {
        Self(hashed(&format!("run {run}")))
    }
    /// What a run came to, all told.
    pub fn of_totals(run: &RunId) -> Self {
        Self(hashed(&format!("run {run} metrics")))
    }
    pub fn of_attempt(aid: &Aid) -> Self {
        Self(hashed(&format!("attempt {aid}")))
    }
    /// `what` names the step among those of the attempt.
    pub fn of_step(aid: &Aid, what: &str) -> Self {
        Self(hashed(&format!("attempt {aid} {what}")))
    }
    /// The agent of step `n`.
    pub fn of_agent(aid: &Aid, n: usize) -> Self {
        Self::of_step(aid, &format!("agent {n}"))
    }
}

/// As many bytes of the hash as there is room for. All zero would be no id, and is not to be feared.
fn hashed<const N: usize>(name: &str) -> [u8; N] {
    let hash = Sha256::digest(name.as_bytes());
    std::array::from_fn(|i| hash[i])
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let plain = hex.len() == 2 * N && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let mut out = [0; N];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2).filter(|_| plain)?, 16).ok()?;
    }
    out.iter().any(|b| *b != 0).then_some(out)
}

impl Context {
    /// The header, in version 00.
    pub fn header(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        format!("00-{}-{}-{:02x}", hex(&self.trace.0), hex(&self.span.0), u8::from(self.sampled))
    }

    /// Reads a header of this version or of a later one.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let [version] = bytes_or_zero::<1>(parts.next()?)?;
        let (trace, span) = (TraceId(bytes(parts.next()?)?), SpanId(bytes(parts.next()?)?));
        let [flags] = bytes_or_zero::<1>(parts.next()?)?;
        let whole = version != 0xff && (version != 0 || parts.next().is_none());
        whole.then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

fn bytes_or_zero<const N: usize>(hex: &str) -> Option<[u8; N]> {
    if hex.len() == 2 * N && hex.bytes().all(|b| b == b'0') { Some([0; N]) } else { bytes(hex) }
}

/// Which traces are recorded. The same answer for a trace wherever it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// From 0 to 1.
    pub share: f64,
}

impl Sampling {
    pub const NONE: Self = Self { share: 0.0 };

    /// By the last 56 bits, as W3C has it: the rest of a UUID of version 7 is a time and a version.
    pub fn takes(&self, trace: &TraceId) -> bool {
        let random = trace.0[9..].iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
        (random as f64) < self.share * (1u64 << 56) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> RunId {
        RunId::parse(text).unwrap()
    }

    #[test]
    fn a_trace_has_the_id_of_its_run_and_an_attempt_is_in_the_trace_of_the_run_that_claimed_it() {
        let run = run("0193f7a1b2c37d4e8f0123456789abcd");
        let context = Context { trace: TraceId::of(&run), span: SpanId([0, 1, 2, 3, 4, 5, 6, 7]), sampled: true };
        assert_eq!(context.header(), "00-0193f7a1b2c37d4e8f0123456789abcd-0001020304050607-01");
        assert_eq!(TraceId::of_attempt(&Aid::new(&run, 17)), TraceId::of(&run));
        let other = RunId::parse("no-uuid-at-all-1").unwrap();
        assert_eq!(TraceId::of_attempt(&Aid::new(&other, 2)), TraceId::of(&other));
    }

    #[test]
    fn a_header_is_read_as_the_standard_says() {
        let header = "00-0193f7a1b2c37d4e8f0123456789abcd-0001020304050607-00";
        assert_eq!(Context::parse(header).unwrap().header(), header);
        assert!(Context::parse(&header.replace("-00", "-03")).unwrap().sampled);
        assert!(Context::parse(&(header.replacen("00-", "cc-", 1) + "-more")).is_some());
        let zero = "00-00000000000000000000000000000000-0001020304050607-01";
        for bad in ["", "00", zero, &header.replacen("00-", "ff-", 1), &(header.to_owned() + "-x"), &header.to_uppercase(), &header[1..]] {
            assert!(Context::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_share_that_is_asked_for_is_taken_of_runs_whose_ids_are_uuids_of_version_7() {
        // Like those that are drawn: a time, the version, and chance but for the variant.
        let drawn = |n: u32| {
            let hex = crate::base::sha256_hex(&n.to_be_bytes());
            run(&format!("0193f7a1b2c37{}8{}", &hex[..3], &hex[3..18]))
        };
        let runs: Vec<TraceId> = (0..4000).map(|n| TraceId::of(&drawn(n))).collect();
        for share in [0.0, 0.1, 0.5, 0.9, 1.0] {
            let taken = runs.iter().filter(|t| Sampling { share }.takes(t)).count() as f64 / runs.len() as f64;
            assert!((taken - share).abs() < 0.05, "{taken} of {share}");
        }
    }
}
