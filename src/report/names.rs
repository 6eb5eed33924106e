//! Short names of runs and checkpoints: the end of each path that no other has.
//!
//! A whole path says more about somebody's machine than about a model.

/// Short names for paths.
#[derive(Debug, Default)]
pub struct Names {
    things: Vec<Thing>,
}

/// What one or several paths mean.
#[derive(Debug)]
struct Thing {
    /// Its paths as they were written.
    paths: Vec<String>,
    /// The parts of the longest of them.
    parts: Vec<String>,
    /// Its name.
    name: String,
}

impl Names {
    /// The same with more paths, each of which means another thing than the others of the group. One that is the end of just one
    /// path of other groups, or that just one of them is the end of, means the same as that.
    pub fn with_group<'a>(mut self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        let paths: Vec<&str> = paths.into_iter().collect();
        // Those seen before are not left to paths that are only like them.
        let mut taken: Vec<usize> = paths.iter().filter_map(|path| self.position(path)).collect();
        for path in paths {
            if self.position(path).is_none() {
                taken.push(self.add(path, &taken));
            }
        }
        self.choose();
        self
    }

    /// The same where the first path of each pair means what the second means.
    pub fn with_synonyms<'a>(
        mut self,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        for (path, known) in pairs {
            if let (None, Some(place)) = (self.position(path), self.position(known)) {
                self.things[place].paths.push(path.to_owned());
            }
        }
        self
    }

    /// The name of one of the paths.
    pub fn name(&self, path: &str) -> String {
        let known = self.position(path).map(|place| self.things[place].name.clone());
        known.unwrap_or_else(|| last_part(path))
    }

    fn position(&self, path: &str) -> Option<usize> {
        self.things.iter().position(|thing| thing.paths.iter().any(|it| it == path))
    }

    /// Adds a path to the thing that it means, which is none of `taken`, or a new one; returns its place.
    fn add(&mut self, path: &str, taken: &[usize]) -> usize {
        let parts = parts(path);
        let alike = |(place, thing): (usize, &Thing)| {
            let is_alike = thing.parts.ends_with(&parts) || parts.ends_with(&thing.parts);
            (is_alike && !taken.contains(&place)).then_some(place)
        };
        let alike: Vec<usize> = self.things.iter().enumerate().filter_map(alike).collect();
        match alike.as_slice() {
            [place] => {
                let thing = &mut self.things[*place];
                thing.paths.push(path.to_owned());
                if thing.parts.len() < parts.len() {
                    thing.parts = parts;
                }
                *place
            }
            _ => {
                let paths = vec![path.to_owned()];
                self.things.push(Thing { paths, parts, name: String::new() });
                self.things.len() - 1
            }
        }
    }

    /// Gives each thing its name.
    fn choose(&mut self) {
        for place in 0..self.things.len() {
            let Thing { parts, paths, .. } = &self.things[place];
            let is_shared = |length: &usize| {
                let end = &parts[parts.len() - length..];
                let others = self.things.iter().enumerate().filter(|(at, _)| *at != place);
                others.into_iter().any(|(_, other)| other.parts.ends_with(end))
            };
            let length = (1..parts.len()).find(|length| !is_shared(length));
            let mut name = parts[parts.len() - length.unwrap_or(parts.len())..].join("/");
            if self.things[..place].iter().any(|other| other.name == name) {
                // Their paths differ in parts that say nothing, such as `..`.
                name = paths[0].clone();
            }
            self.things[place].name = name;
        }
    }
}

/// The last part of a path, which says nothing about the machine.
pub fn last_part(path: &str) -> String {
    parts(path).pop().unwrap_or_default()
}

/// The parts of a path that say something; a single dot for none of them.
fn parts(path: &str) -> Vec<String> {
    let is_meaningful = |part: &&str| !["", ".", "..", "checkpoints"].contains(part);
    let parts: Vec<String> = path.split('/').filter(is_meaningful).map(str::to_owned).collect();
    if parts.is_empty() { vec![".".to_owned()] } else { parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_shortest_ends_that_differ() {
        let paths = ["/home/me/runs/a", "runs/b/", "old/b", "data/models/minilm-l6"];
        let names = Names::default().with_group(paths);
        assert_eq!(paths.map(|path| names.name(path)), ["a", "runs/b", "old/b", "minilm-l6"]);
    }

    #[test]
    fn one_run_has_one_name_from_wherever_it_is_seen() {
        let names = Names::default().with_group(["../runs/a"]);
        let names = names.with_group(["/home/me/runs/a", "./"]);
        let names = names.with_group(["runs/a", "runs/a/checkpoints/step-000010"]);
        for path in ["/home/me/runs/a", "../runs/a", "runs/a"] {
            assert_eq!(names.name(path), "a");
        }
        assert_eq!(names.name("runs/a/checkpoints/step-000010"), "step-000010");
        assert_eq!(names.name("./"), ".");
    }

    #[test]
    fn different_paths_of_one_group_have_different_names() {
        let runs = ["/x/a", "/x/old/a"];
        let checkpoints = ["old/a", "a", "../a"];
        let names = Names::default().with_group(runs).with_group(checkpoints);
        assert_eq!(runs.map(|path| names.name(path)), ["x/a", "old/a"]);
        assert_eq!(checkpoints.map(|path| names.name(path)), ["old/a", "x/a", "a"]);
        let names = Names::default().with_group(["old/a"]).with_group(checkpoints);
        assert_eq!(checkpoints.map(|path| names.name(path)), ["old/a", "a", "../a"]);
    }

    #[test]
    fn a_path_that_may_mean_several_runs_means_the_one_that_was_named_so() {
        let runs = ["/x/a", "/x/old/a"];
        let names = Names::default().with_group(runs);
        let named = Names::default().with_group(runs).with_synonyms([("a", "/x/a")]);
        assert_eq!(named.with_group(["a"]).name("a"), "x/a");
        let names = names.with_group(["a"]);
        assert_eq!(names.name("a"), "a", "it is not known which");
    }
}
