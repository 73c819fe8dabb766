//! Cosignatures: asks the configured witnesses to cosign a checkpoint before it is published (c2sp.org/tlog-witness).
//!
//! This lies in the publisher's path and never in that of an acknowledgement: a report is durable and proven before any
//! witness hears of it. Publication waits for witnesses, but never long: a witness that does not answer in time is left
//! alone for a while, and the checkpoint goes out with the cosignatures that were had. The next look asks for what is missing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use transparency_log::{
    AddCheckpoint, Hash, KnownSize, LogError, Note, add_cosignature, consistency_proof, consistency_tiles,
    verify_cosignature,
};
use wiregrant_store::{Log, Store, StoreError};

use crate::config::WitnessAddress;
use crate::log_keys::LogKeys;
use crate::publisher::SETTING_REPORTS_NAMED;

/// How long one question may take. Publication waits for two of them at most: one may end in a 409 that tells the size.
const ANSWER_SECONDS: u64 = 5;
/// How long a witness that gave no cosignature is left alone.
const REST_SECONDS: u64 = 30;
/// A cosignature line has under 300 bytes; a witness may have several keys.
const MAX_ANSWER_BYTES: u64 = 16 * 1024;
/// The first question may meet a witness whose state is not known yet.
const MAX_QUESTIONS: usize = 2;

/// The witnesses that are asked.
pub struct Cosigners {
    witnesses: Vec<Arc<Cosigner>>,
}

struct Cosigner {
    address: WitnessAddress,
    http: ureq::Agent,
    /// By log, in the order of [`Log::ALL`].
    known: Mutex<[Known; 2]>,
}

/// What is known of a witness's state for one log.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The size that it cosigned last.
    size: u64,
    /// It is left alone until then.
    rests_until: Option<Instant>,
}

/// A log at a size, as a witness is shown it.
#[derive(Clone)]
struct Shown {
    store: Store,
    log: Log,
    size: u64,
    note: Note,
}

/// How far a witness has seen a log.
pub struct Seen {
    /// Which witness.
    pub witness: String,
    /// Which log.
    pub log: Log,
    /// Entries that it has cosigned, at least; or why it does not say.
    pub size: Result<u64, String>,
}

/// The newest checkpoint that was published, by the database.
async fn published(store: &Store, log: Log) -> Result<Option<(u64, String)>, StoreError> {
    let mut read = store.read().await?;
    match log {
        Log::Record => read.newest_checkpoint(log).await,
        Log::Reports => {
            let size = read.setting(SETTING_REPORTS_NAMED).await?.and_then(|size| size.parse().ok());
            let size = size.unwrap_or_default();
            Ok(read.checkpoint_at(log, size).await?.map(|note| (size, note)))
        }
    }
}

/// Why there is no cosignature.
enum Missing {
    /// The witness knows another size.
    Knows(u64),
    /// In words.
    Because(String),
}

impl Cosigners {
    /// Those of the configuration; none of them is asked yet.
    #[must_use]
    pub fn new(addresses: &[WitnessAddress]) -> Self {
        let http = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(Duration::from_secs(ANSWER_SECONDS)))
            .user_agent(concat!("wiregrant-control/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let cosigner = |address: &WitnessAddress| {
            Arc::new(Cosigner { address: address.clone(), http: http.clone(), known: Mutex::default() })
        };
        Self { witnesses: addresses.iter().map(cosigner).collect() }
    }

    /// How far each witness has seen each log, at least. What it is asked with was published before, so it learns nothing new.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn sizes(&self, store: &Store, log_keys: &LogKeys) -> Result<Vec<Seen>, StoreError> {
        let mut all = Vec::new();
        for witness in &self.witnesses {
            for log in Log::ALL {
                let Some((size, note)) = published(store, log).await? else { continue };
                let note = log_keys.under_the_present_key(log, &note);
                let size = match note.and_then(|note| Note::parse(&note)) {
                    Ok(note) => {
                        match witness.ask_once(&Shown { store: store.clone(), log, size, note }, 0).await {
                            Ok(_) => Ok(size),
                            Err(Missing::Knows(size)) => Ok(size),
                            // A log without entries says nothing that could be asked about.
                            Err(Missing::Because(_)) if size == 0 => Ok(0),
                            Err(Missing::Because(why)) => Err(why),
                        }
                    }
                    Err(error) => Err(error.to_string()),
                };
                all.push(Seen { witness: witness.address.to_string(), log, size });
            }
        }
        Ok(all)
    }

    /// The checkpoint of `log` at `size` with the cosignatures of all witnesses that gave one in time. Those that it bears
    /// already are not asked for again.
    pub async fn gather(&self, store: &Store, log: Log, size: u64, checkpoint: Note) -> Note {
        if size == 0 {
            return checkpoint; // says nothing that could be held against the log
        }
        let shown = Shown { store: store.clone(), log, size, note: checkpoint };
        let mut asked = JoinSet::new();
        for witness in self.witnesses.iter().filter(|witness| witness.is_due(&shown)) {
            let (witness, shown) = (Arc::clone(witness), shown.clone());
            asked.spawn(async move { (witness.ask(&shown).await, witness) });
        }
        let mut cosigned = shown.note;
        while let Some(answered) = asked.join_next().await {
            let Ok((Some(answer), witness)) = answered else { continue };
            // Checked when it came; what can still be in its way is the limit of a note's lines.
            match add_cosignature(&cosigned, &answer, &witness.address.verifier) {
                Ok(with) => cosigned = with,
                Err(error) => tracing::warn!(witness = %witness.address, %error, "a cosignature has no room"),
            }
        }
        cosigned
    }
}

impl Cosigner {
    /// The cosignature of one witness, or nothing, and then it is left alone for a while.
    async fn ask(&self, shown: &Shown) -> Option<String> {
        let mut why = String::new();
        for _ in 0..MAX_QUESTIONS {
            let old_size = self.known(shown.log).size;
            match self.ask_once(shown, old_size).await {
                Ok(answer) => {
                    self.learn(shown.log, Known { size: shown.size, rests_until: None });
                    return Some(answer);
                }
                Err(Missing::Knows(size)) => {
                    why = format!("it cosigned {size} entries last, this log has {}", shown.size);
                    self.learn(shown.log, Known { size, rests_until: None });
                    if size > shown.size {
                        break; // it was shown a newer one meanwhile, or this database is older than what it saw
                    }
                }
                Err(Missing::Because(reason)) => {
                    why = reason;
                    break;
                }
            }
        }
        let name = self.address.verifier.name();
        tracing::warn!(witness = name, log = %shown.log, seconds = REST_SECONDS, "no cosignature: {why}");
        let rests_until = Some(Instant::now() + Duration::from_secs(REST_SECONDS));
        self.learn(shown.log, Known { rests_until, ..self.known(shown.log) });
        None
    }

    async fn ask_once(&self, shown: &Shown, old_size: u64) -> Result<String, Missing> {
        let failed = |error: &dyn std::fmt::Display| Missing::Because(error.to_string());
        if old_size > shown.size {
            return Err(Missing::Knows(old_size));
        }
        let proof = proof(shown, old_size).await.map_err(|error| failed(&error))?;
        let body = AddCheckpoint { old_size, proof, checkpoint: shown.note.to_string() }.to_string();
        let (http, url) = (self.http.clone(), format!("{}/add-checkpoint", self.address.url));
        let answered = tokio::task::spawn_blocking(move || {
            let mut answer = http.post(&url).content_type("text/plain; charset=utf-8").send(body)?;
            let text = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string()?;
            Ok::<_, ureq::Error>((answer.status().as_u16(), text))
        });
        let (status, text) = answered.await.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        match status {
            200 => {
                add_cosignature(&shown.note, &text, &self.address.verifier)
                    .map_err(|error| failed(&error))?;
                Ok(text)
            }
            409 => {
                let KnownSize(size) = text.parse().map_err(|error: LogError| failed(&error))?;
                Err(Missing::Knows(size))
            }
            _ => {
                let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
                Err(Missing::Because(format!("status {status}: {text}")))
            }
        }
    }
}

async fn proof(shown: &Shown, old_size: u64) -> Result<Vec<Hash>, Box<dyn std::error::Error + Send + Sync>> {
    let wanted = consistency_tiles(old_size, shown.size)?;
    let tiles = shown.store.read().await?.tiles(shown.log, &wanted).await?;
    Ok(consistency_proof(old_size, shown.size, &tiles)?)
}

impl Cosigner {
    /// Whether it is to be asked: it has not cosigned this checkpoint, and is not left alone.
    fn is_due(&self, shown: &Shown) -> bool {
        let rests = self.known(shown.log).rests_until.is_some_and(|until| until > Instant::now());
        !rests && verify_cosignature(&shown.note, &self.address.verifier).is_err()
    }

    fn known(&self, log: Log) -> Known {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known[position(log)]
    }

    fn learn(&self, log: Log, learnt: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known[position(log)] = learnt;
    }
}

fn position(log: Log) -> usize {
    match log {
        Log::Record => 0,
        Log::Reports => 1,
    }
}
