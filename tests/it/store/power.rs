//! Power cuts: what was acknowledged is there afterwards, and nothing is there by half.

use drover::core::State;
use drover::store::redb::RedbStore;
use drover::store::{Store, StoreError};

use super::disk::Disk;
use super::world::{World, fold, same, small_fact};

const TARGET: &str = "main";

/// Histories to play; `DROVER_POWER_CUTS` asks for another number.
fn histories() -> u64 {
    std::env::var("DROVER_POWER_CUTS").map_or(200, |n| n.parse().expect("a number of histories"))
}

/// A store through several lives, each ended by a power cut. An error says what was lost.
struct History {
    disk: Disk,
    rng: fastrand::Rng,
    world: World,
    /// As of the last commit that was acknowledged.
    acknowledged: State,
    /// As of the one that was cut short, which may be there or not.
    in_doubt: Option<State>,
    /// Commits acknowledged over all lives.
    commits: u64,
}

impl History {
    fn new(seed: u64, disk: Disk) -> Self {
        let (rng, world) = (fastrand::Rng::with_seed(seed), World::new(seed));
        Self { disk, rng, world, acknowledged: State::default(), in_doubt: None, commits: 0 }
    }

    fn play(mut self) -> Result<u64, String> {
        self.create();
        for _ in 0..4 {
            let fuse = self.rng.u64(0..250);
            self.disk.light(fuse);
            self.live()?;
            self.disk.cut_power(&mut self.rng);
        }
        let mut store = self.open()?.ok_or("the disk is dead without a cut")?;
        let journal = store.history(TARGET, 0, usize::MAX).map_err(|e| e.to_string())?;
        same(&fold(&journal), &store.load(TARGET).map_err(|e| e.to_string())?)?;
        Ok(self.commits)
    }

    /// Until creation succeeds there is no store: the file has its name only then.
    fn create(&mut self) {
        let mut fuse = self.rng.u64(0..40);
        loop {
            self.disk.light(fuse);
            if RedbStore::with_backend(self.disk.clone()).is_ok() {
                return self.disk.cut_power(&mut self.rng);
            }
            self.disk.wipe();
            fuse += 10;
        }
    }

    /// One life, until the power goes or some commits are done.
    fn live(&mut self) -> Result<(), String> {
        let Some(mut store) = self.open()? else { return Ok(()) };
        for _ in 0..self.rng.u32(1..15) {
            let batch = self.world.step();
            match store.commit(TARGET, &batch) {
                Ok(()) => {
                    self.acknowledged = self.world.state.clone();
                    self.commits += 1;
                }
                Err(e) if self.disk.is_dead() => {
                    assert!(!matches!(e, StoreError::Dead { .. }), "the first failure is told as itself");
                    self.in_doubt = Some(self.world.state.clone());
                    return Ok(());
                }
                Err(e) => return Err(format!("a commit failed with the power on: {e}")),
            }
        }
        Ok(())
    }

    /// Opens and compares. `None`: the power went meanwhile.
    fn open(&mut self) -> Result<Option<RedbStore>, String> {
        let opened = RedbStore::with_backend(self.disk.clone()).and_then(|mut store| Ok((store.load(TARGET)?, store)));
        let (loaded, store) = match opened {
            Ok(opened) => opened,
            Err(_) if self.disk.is_dead() => return Ok(None),
            Err(e) => return Err(format!("it does not open after a power cut: {e}")),
        };
        let before = same(&loaded, &self.acknowledged);
        if before.is_err() && !self.in_doubt.as_ref().is_some_and(|s| s.same_record(&loaded)) {
            return before.map(|()| None);
        }
        self.in_doubt = None;
        self.acknowledged = loaded.clone();
        self.world.state = loaded;
        Ok(Some(store))
    }
}

#[test]
fn no_acknowledged_commit_is_lost_when_the_power_goes() {
    let mut commits = 0;
    for seed in 0..histories() {
        match History::new(seed, Disk::default()).play() {
            Ok(n) => commits += n,
            Err(e) => panic!("seed {seed}: {e}"),
        }
    }
    assert!(commits > histories() * 5, "only {commits} commits: too little was tried");
}

#[test]
fn a_disk_that_lies_about_syncing_is_found_out() {
    let lost = |seed| History::new(seed, Disk::that_lies_about_syncing()).play().is_err();
    assert!((0..20).any(lost), "the histories find nothing: they prove nothing");
}

#[test]
fn after_a_failed_write_nothing_more_is_written_through_the_same_handle() {
    let disk = Disk::default();
    let mut store = RedbStore::with_backend(disk.clone()).unwrap();
    let mut world = World::new(1);
    store.commit(TARGET, &world.step()).unwrap();
    let before = store.load(TARGET).unwrap();
    disk.light(0);
    let mut failed = world.state.clone();
    failed.apply(world.now, &small_fact()).unwrap();
    let batch = drover::store::batch(&failed, world.now, vec![small_fact()]);
    let error = store.commit(TARGET, &batch).unwrap_err();
    assert!(error.to_string().contains("the power is out"), "{error}");

    disk.revive();
    for _ in 0..2 {
        let error = store.commit(TARGET, &batch).unwrap_err();
        assert!(matches!(error, StoreError::Dead { .. }) && error.to_string().contains("start drover again"), "{error}");
    }
    drop(store);
    let mut store = RedbStore::with_backend(disk).unwrap();
    same(&store.load(TARGET).unwrap(), &before).unwrap();
    store.commit(TARGET, &batch).unwrap();
    same(&store.load(TARGET).unwrap(), &failed).unwrap();
}
