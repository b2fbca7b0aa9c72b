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

/// A store of some commits on a disk, and the world that made them.
fn begun(disk: &Disk) -> (RedbStore, World) {
    let mut store = RedbStore::with_backend(disk.clone()).unwrap();
    let mut world = World::new(3);
    for _ in 0..5 {
        store.commit(TARGET, &world.step()).unwrap();
    }
    (store, world)
}

#[test]
fn a_disk_that_is_full_at_any_write_loses_nothing_and_is_said_to_be() {
    for room in 0.. {
        let disk = Disk::default();
        let (mut store, mut world) = begun(&disk);
        disk.fill_up(Some(room));
        let mut acknowledged = world.state.clone();
        let failed = (0..5).find_map(|_| {
            let batch = world.step();
            let failed = store.commit(TARGET, &batch).err();
            if failed.is_none() {
                acknowledged = world.state.clone();
            }
            failed
        });
        // Closing may want to write as well.
        drop(store);
        let Some(error) = failed else {
            assert!(room > 20, "hardly anything was written");
            return;
        };
        assert!(!matches!(error, StoreError::Damaged { .. }), "room for {room}: a full disk is called a damaged file: {error}");
        disk.fill_up(None);
        let mut store = RedbStore::with_backend(disk).unwrap_or_else(|e| panic!("room for {room}: {e}"));
        let loaded = store.load(TARGET).unwrap();
        // What was being written may be there, whole.
        let whole = loaded.same_record(&acknowledged) || loaded.same_record(&world.state);
        assert!(whole, "room for {room}: {loaded:#?}");
        world.state = loaded;
        store.commit(TARGET, &world.step()).unwrap();
        same(&store.load(TARGET).unwrap(), &world.state).unwrap();
    }
}

#[test]
fn a_store_is_opened_and_read_on_a_full_disk_or_refused_and_never_harmed() {
    let disk = Disk::default();
    let (store, world) = begun(&disk);
    drop(store);
    for room in 0..40 {
        disk.fill_up(Some(room));
        if let Ok(mut store) = RedbStore::with_backend(disk.clone()) {
            same(&store.load(TARGET).unwrap(), &world.state).unwrap();
        }
        disk.fill_up(None);
        same(&RedbStore::with_backend(disk.clone()).unwrap().load(TARGET).unwrap(), &world.state).unwrap();
    }
}
