//! A draft's rows: what they are on top of, and what is done to that, merged in the order of their hashes.

use super::compile::CompileError;
use super::draft::{Base, Draft, Stated};
use super::entries::{Class, Membership, Profile};
use super::name::NameHash;

/// Rows in the order of their hashes, each with the number of its class.
#[derive(Debug)]
pub(crate) struct Classified {
    pub(crate) rows: Vec<(NameHash, u32)>,
    /// By number. Some may be equal.
    pub(crate) classes: Vec<Class>,
    /// Is any row of the class with this number?
    pub(crate) used: Vec<bool>,
}

impl Draft {
    /// # Errors
    /// A tenant has two rows.
    pub(crate) fn classified(&mut self) -> Result<Classified, CompileError> {
        let edits = self.edits()?;
        let mut merge = Merge::new(self, edits.len());
        match &self.base {
            Base::Spec(checked) => {
                // The class of a member has the number of the member.
                let members = checked.members.iter();
                merge.classes.extend(members.map(|(_, membership)| self.class(None, *membership)));
                merge.run(checked.members.iter().map(|(name, _)| *name).zip(0..), edits);
            }
            Base::Image(image) => {
                // The class of an entry has the number of the entry, so that most are in their order already.
                let entries = (0..).map_while(|index| image.entry(index));
                merge.classes.extend(entries.map(|entry| image.class_of(entry)));
                merge.run(image.tenants.rows(), edits);
            }
        }
        merge.duplicates.check()?;
        Ok(Classified { rows: merge.rows, classes: merge.classes, used: merge.used })
    }

    /// What is to be done to the rows of the base, in the order of their hashes.
    fn edits(&mut self) -> Result<Vec<(NameHash, Edit)>, CompileError> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable();
        let mut duplicates = Duplicates::default();
        for pair in rows.chunk_by(|one, other| one.0 == other.0).filter(|rows| rows.len() > 1) {
            pair.first().into_iter().for_each(|(name, _)| duplicates.found(*name));
        }
        duplicates.check()?;
        let changes = std::mem::take(&mut self.changes);
        let mut edits: Vec<(NameHash, Edit)> = rows
            .into_iter()
            .filter(|(name, _)| changes.is_empty() || !changes.contains_key(name))
            .map(|(name, stated)| (name, Edit::Add(stated)))
            .collect();
        if !changes.is_empty() {
            edits.extend(
                changes.into_iter().map(|(name, change)| (name, change.map_or(Edit::Remove, Edit::Put))),
            );
            edits.sort_unstable_by_key(|(name, _)| *name);
        }
        Ok(edits)
    }

    /// The class of a tenant.
    fn class(&self, stated: Option<Stated>, Membership { verdict, lists }: Membership) -> Class {
        let (tier, declared) =
            stated.map_or((None, self.terms.default), |Stated { tier, grant }| (tier, grant));
        Class { verdict, named: stated.is_some(), profile: Profile { tier, lists }, declared }
    }
}

/// What is done to a row.
#[derive(Debug, Clone, Copy)]
enum Edit {
    /// It must not be there, and is now.
    Add(u32),
    /// It is there now.
    Put(u32),
    /// It is there no more.
    Remove,
}

#[derive(Debug, Default)]
struct Duplicates {
    count: usize,
    first: Option<NameHash>,
}

impl Duplicates {
    fn found(&mut self, name: NameHash) {
        self.count += 1;
        self.first.get_or_insert(name);
    }

    fn check(&self) -> Result<(), CompileError> {
        match self.first {
            None => Ok(()),
            Some(first) => Err(CompileError::Duplicate { count: self.count, first }),
        }
    }
}

/// Rows of a base and edits of them, both sorted, on the way to becoming the rows of an image.
#[derive(Debug)]
struct Merge<'a> {
    draft: &'a Draft,
    classes: Vec<Class>,
    used: Vec<bool>,
    rows: Vec<(NameHash, u32)>,
    /// The number of the class of a tenant that only its own row names, by what that states.
    of_stated: Vec<Option<u32>>,
    duplicates: Duplicates,
}

impl<'a> Merge<'a> {
    fn new(draft: &'a Draft, edits: usize) -> Self {
        let more = match &draft.base {
            Base::Spec(checked) => checked.members.len(),
            Base::Image(image) => image.tenants(),
        };
        Self {
            draft,
            classes: Vec::new(),
            used: Vec::new(),
            rows: Vec::with_capacity(more + edits),
            of_stated: vec![None; draft.stated.len()],
            duplicates: Duplicates::default(),
        }
    }

    /// `base` gives rows, each with the number of its class.
    fn run(&mut self, base: impl Iterator<Item = (NameHash, u32)>, edits: Vec<(NameHash, Edit)>) {
        let mut edits = edits.into_iter().peekable();
        for (name, number) in base {
            while let Some((before, edit)) = edits.next_if(|(edited, _)| *edited < name) {
                self.edit(before, edit, None);
            }
            match edits.next_if(|(edited, _)| *edited == name) {
                Some((_, edit)) => self.edit(name, edit, self.classes.get(number as usize).copied()),
                None => self.put(name, number),
            }
        }
        for (name, edit) in edits {
            self.edit(name, edit, None);
        }
    }

    fn put(&mut self, name: NameHash, number: u32) {
        let place = number as usize;
        if self.used.len() <= place {
            self.used.resize(self.classes.len(), false);
        }
        if let Some(used) = self.used.get_mut(place) {
            *used = true;
        }
        self.rows.push((name, number));
    }

    fn edit(&mut self, name: NameHash, edit: Edit, before: Option<Class>) {
        let stated = match edit {
            Edit::Add(stated) | Edit::Put(stated) => Some(stated as usize),
            Edit::Remove => None,
        };
        if matches!(edit, Edit::Add(_)) && before.is_some_and(|class| class.named) {
            self.duplicates.found(name);
        }
        let membership = before.map_or(Membership::NONE, |class| class.membership());
        if membership != Membership::NONE {
            let number = self.number(stated, membership);
            return self.put(name, number);
        }
        // In no list, so what its own row states is all there is.
        let Some(stated) = stated else { return };
        let known = self.of_stated.get(stated).copied().flatten();
        let number = known.unwrap_or_else(|| self.number(Some(stated), membership));
        if let Some(place) = self.of_stated.get_mut(stated) {
            *place = Some(number);
        }
        self.put(name, number);
    }

    fn number(&mut self, stated: Option<usize>, membership: Membership) -> u32 {
        let stated = stated.and_then(|stated| self.draft.stated.get(stated).copied());
        // Two for each row at most, of which there are at most ten million.
        let number = u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
        self.classes.push(self.draft.class(stated, membership));
        number
    }
}
