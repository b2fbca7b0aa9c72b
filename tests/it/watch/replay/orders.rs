//! What a person says: beside a Drover, or to none.

use super::{Kind, Session};
use crate::fixture::Ran;

impl Session {
    /// Says it. Whether it came to anything is what is told; that it may be said at all must hold.
    fn say(&self, args: &[&str]) -> bool {
        let ran: Ran = self.it.drover(&[args, &["--format", "json"]].concat());
        let may = matches!(ran.code, Some(0 | 3 | 4));
        assert!(may, "drover {args:?}: {ran:?}\n{:#?}\n{}", self.done, self.said());
        let said = ran.json();
        said["came_to"] == "done" || said["orders"].as_array().is_some_and(|o| o.iter().any(|o| o["came_to"] == "done"))
    }

    fn again(&mut self, id: &str) {
        let title = self.titles[id].clone();
        *self.asked.again.entry(title).or_insert(0) += 1;
    }

    pub fn order(&mut self) -> String {
        let id = self.some(|d, t| d.dependents(&t.title) == 0).unwrap();
        let any = self.some(|_, _| true).unwrap();
        let of: &[&str] = match self.rng.u8(0..14) {
            0..2 => &["cancel"],
            2 => &["retry"],
            3..5 => &["reset"],
            5 => &["suspend"],
            6 => &["suspend", "--all"],
            7 => &["unsuspend", "--all"],
            8 => return self.judge(),
            9 => &["hint"],
            10 => &["mark", "completed"],
            11 => return self.written(),
            12 => &["workers"],
            _ => &["publish"],
        };
        let workers = self.rng.u8(1..5).to_string();
        let more: &[&str] = match of[0] {
            "mark" => &[&id, "--reason", "by hand"],
            "hint" => &[&any, "mind the gap"],
            "workers" => &[&workers],
            "publish" => {
                let ran = self.it.drover(&["publish"]);
                assert!(matches!(ran.code, Some(0 | 5)), "{ran:?}\n{:#?}\n{}", self.done, self.said());
                return "publish".into();
            }
            _ if of.len() == 1 => &[&any],
            _ => &[],
        };
        let args = [of, more].concat();
        let did = self.say(&args);
        if did && of[0] == "reset" {
            self.again(&any.clone());
        }
        format!("drover {}: {did}", args.join(" "))
    }

    /// About what waits for a word.
    fn judge(&mut self) -> String {
        let Some(id) = self.some(|_, t| t.kind == Kind::Approval) else { return "nothing to approve".into() };
        let args: &[&str] = if self.rng.bool() { &["approve", &id] } else { &["reject", &id, "--reason", "not like that"] };
        format!("drover {}: {}", args.join(" "), self.say(args))
    }

    /// Verbs that write the files.
    fn written(&mut self) -> String {
        // They refuse files with mistakes.
        self.save_all();
        if self.rng.bool() {
            let id = self.some(|_, _| true).unwrap();
            let to = self.call(&id);
            self.it.drover(&["mv", &id, &to]).expect(0);
            let file = self.desired.tasks[&to].file;
            self.desired.moved.push((id.clone(), to.clone(), file));
            return format!("drover mv {id} {to}");
        }
        let id = self.add(Kind::Plain);
        let task = &self.desired.tasks[&id];
        let (prompt, file) =
            (format!("$ mkdir -p made; echo {} >made/{id}", task.version), format!("drover/{}", self.desired.files[task.file]));
        self.it.drover(&["add", &id, "--title", &id, "--prompt", &prompt, "--file", &file]).expect(0);
        self.asked.show(&self.desired);
        format!("drover add {id}")
    }

    /// Takes back what a person said that lasts, and says what is waited for.
    pub fn insist(&mut self, status: &Ran) {
        let refusals = self.said().matches("beside this watch").count();
        if let Some(ended) = self.watch.as_mut().and_then(|w| w.child.try_wait().unwrap()) {
            assert_eq!(ended.code(), Some(3), "it ended\n{:#?}\n{}", self.done, self.said());
            self.start(&["--allow-reruns", "--allow-removals"]);
            self.done.push("again, with the flags".into());
        } else if refusals > self.heeded {
            let ran = self.it.drover(&["sync", "--allow-reruns", "--allow-removals"]);
            // One that is just ending, or looks at a git that is at work, is told again.
            assert!(matches!(ran.code, Some(0 | 3 | 75)), "{ran:?}\n{:#?}\n{}", self.done, self.said());
            if ran.code == Some(0) {
                self.heeded = refusals;
                self.done.push("that is meant".into());
            }
        }
        if status.code != Some(0) {
            return;
        }
        for task in status.json()["tasks"].as_array().unwrap() {
            let id = task["id"].as_str().unwrap();
            let Some(wanted) = self.desired.tasks.get(id) else { continue };
            let to_be = self.desired.standing(wanted);
            match (task["status"].as_str().unwrap(), task["reason"]["kind"].as_str().unwrap_or_default()) {
                (_, "suspended") => drop(self.say(&["unsuspend", "--all"])),
                ("cancelled", _) => drop(self.say(&["retry", id])),
                ("blocked", "approval_required") => drop(self.say(&["approve", id])),
                ("failed", _) if to_be == "completed" && wanted.kind == Kind::Approval => drop(self.say(&["retry", id])),
                ("completed", _) if !task["marked"].is_null() && self.say(&["mark", "pending", id, "--reason", "not after all"]) => {
                    self.again(id);
                }
                _ => {}
            }
        }
    }
}
