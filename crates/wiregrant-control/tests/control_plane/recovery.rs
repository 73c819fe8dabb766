//! A lost token is recovered by a message that a wallet signs as BIP 322 says, over HTTP. What the signatures are made of is
//! checked against the BIP's own vectors in `wiregrant-payout`; here they are made anew, for the message that is asked for.

use axum::http::Method;
use bitcoin::absolute::LockTime;
use bitcoin::base64::Engine as _;
use bitcoin::base64::engine::general_purpose::STANDARD;
use bitcoin::consensus::serialize;
use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::key::{CompressedPublicKey, TapTweak as _};
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::secp256k1::{All, Keypair, Message, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, KnownHrp, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid,
    Witness,
};
use serde_json::{Value, json};
use wiregrant_core::Timestamp;
use wiregrant_core::api::{ProblemKind, Recovered};

use crate::support::{Answered, Plane};

/// A wallet of one key.
struct Wallet {
    secp: Secp256k1<All>,
    key: SecretKey,
    public: CompressedPublicKey,
}

/// The transactions of BIP 322 for a script and a message: what is spent, and what spends it, without a signature.
fn unsigned(script: &ScriptBuf, text: &str) -> (TxOut, Transaction) {
    let tag = sha256::Hash::hash(b"BIP0322-signed-message");
    let mut engine = sha256::Hash::engine();
    for part in [tag.as_byte_array().as_slice(), tag.as_byte_array(), text.as_bytes()] {
        engine.input(part);
    }
    let commitment = sha256::Hash::from_engine(engine).to_byte_array();
    let transaction = |previous_output, script_sig, output| Transaction {
        version: Version(0),
        lock_time: LockTime::ZERO,
        input: vec![TxIn { previous_output, script_sig, sequence: Sequence::ZERO, witness: Witness::new() }],
        output: vec![output],
    };
    let spent = TxOut { value: Amount::ZERO, script_pubkey: script.clone() };
    let nothing =
        TxOut { value: Amount::ZERO, script_pubkey: Builder::new().push_opcode(OP_RETURN).into_script() };
    let script_sig = Builder::new().push_int(0).push_slice(commitment).into_script();
    let to_spend = transaction(OutPoint::new(Txid::all_zeros(), u32::MAX), script_sig, spent.clone());
    (spent, transaction(OutPoint::new(to_spend.compute_txid(), 0), ScriptBuf::new(), nothing))
}

impl Wallet {
    fn new(seed: u8) -> Self {
        let secp = Secp256k1::new();
        let key = SecretKey::from_slice(&[seed; 32]).unwrap();
        let public = CompressedPublicKey(key.public_key(&secp));
        Self { secp, key, public }
    }

    fn p2wpkh(&self) -> Address {
        Address::p2wpkh(&self.public, KnownHrp::Regtest)
    }

    fn p2tr(&self) -> Address {
        Address::p2tr(&self.secp, self.key.x_only_public_key(&self.secp).0, None, KnownHrp::Regtest)
    }

    fn p2sh(&self) -> Address {
        Address::p2shwpkh(&self.public, Network::Regtest)
    }

    /// The parts of a witness that spends from this key's P2WPKH script.
    fn segwit(&self, to_sign: &Transaction) -> Witness {
        let script = self.p2wpkh().script_pubkey();
        let mut cache = SighashCache::new(to_sign);
        let hash = cache.p2wpkh_signature_hash(0, &script, Amount::ZERO, EcdsaSighashType::All).unwrap();
        let signature = self.secp.sign_ecdsa(&Message::from_digest(hash.to_byte_array()), &self.key);
        let signature = bitcoin::ecdsa::Signature { signature, sighash_type: EcdsaSighashType::All };
        Witness::p2wpkh(&signature, &self.public.0)
    }

    /// `simple`, by the P2WPKH address.
    fn simple(&self, text: &str) -> String {
        let (_, to_sign) = unsigned(&self.p2wpkh().script_pubkey(), text);
        format!("smp{}", STANDARD.encode(serialize(&self.segwit(&to_sign))))
    }

    /// `simple`, by the Taproot address's own key, as wallets wrote it before it had a prefix.
    fn taproot(&self, text: &str) -> String {
        let (spent, to_sign) = unsigned(&self.p2tr().script_pubkey(), text);
        let mut cache = SighashCache::new(&to_sign);
        let hash = cache
            .taproot_key_spend_signature_hash(0, &Prevouts::All(&[spent]), TapSighashType::Default)
            .unwrap();
        let key = Keypair::from_secret_key(&self.secp, &self.key).tap_tweak(&self.secp, None).to_keypair();
        let signature = self.secp.sign_schnorr_no_aux_rand(&Message::from_digest(hash.to_byte_array()), &key);
        let signature = bitcoin::taproot::Signature { signature, sighash_type: TapSighashType::Default };
        STANDARD.encode(serialize(&Witness::p2tr_key_spend(&signature)))
    }

    /// `full`, by P2WPKH inside of P2SH: its script stands in the scriptSig, which `simple` has no room for.
    fn full(&self, text: &str) -> String {
        let (_, mut to_sign) = unsigned(&self.p2sh().script_pubkey(), text);
        let redeem = PushBytesBuf::try_from(self.p2wpkh().script_pubkey().into_bytes()).unwrap();
        to_sign.input[0].script_sig = Builder::new().push_slice(redeem).into_script();
        to_sign.input[0].witness = self.segwit(&to_sign);
        format!("ful{}", STANDARD.encode(serialize(&to_sign)))
    }
}

/// How a wallet signs a message.
type Sign = dyn Fn(&Wallet, &str) -> String;

fn message(time: Timestamp) -> String {
    format!("wiregrant: nordlicht recovers a token of grants.example/record at {time}")
}

async fn recover(plane: &Plane, proof: &str, signed_at: Timestamp) -> Answered {
    let body = json!({ "proof": proof, "signed_at": signed_at, "holder": "Anna" });
    plane.ask(Method::POST, "/operators/nordlicht/recovery", "", body).await
}

#[tokio::test]
async fn simple_and_full_signatures_of_the_paid_address_recover_a_token() {
    let (own, other) = (Wallet::new(1), Wallet::new(2));
    let forms: [(Address, &Sign); 3] =
        [(own.p2wpkh(), &Wallet::simple), (own.p2tr(), &Wallet::taproot), (own.p2sh(), &Wallet::full)];
    for (address, sign) in forms {
        let plane = Plane::start().await;
        plane.operator("nordlicht").await;
        let pay = json!({ "pay": address.to_string() });
        plane.post("/operators/nordlicht/destination", pay).await.ok();
        let now = plane.now();
        let refused = async |proof: String, at: Timestamp, kind| {
            recover(&plane, &proof, at).await.problem(kind);
        };
        refused(sign(&other, &message(now)), now, ProblemKind::Address).await;
        refused(sign(&own, &message(now.plus_seconds(1))), now, ProblemKind::Address).await;
        let late = now.plus_seconds(3_601);
        refused(sign(&own, &message(late)), late, ProblemKind::InvalidRequest).await;
        let proof = sign(&own, &message(now));
        refused(proof[..proof.len() - 8].to_owned(), now, ProblemKind::Address).await;
        let funds = format!("pof{}", proof.trim_start_matches("smp").trim_start_matches("ful"));
        refused(funds, now, ProblemKind::Address).await;

        let recovered: Recovered = recover(&plane, &proof, now).await.json();
        assert_eq!(recovered.valid_from, now.plus_seconds(72 * 3_600));
        refused(proof, now, ProblemKind::Conflict).await;
        let me = async || plane.ask(Method::GET, "/me", &recovered.token, Value::Null).await;
        me().await.problem(ProblemKind::Unauthorized);
        plane.clock.advance(72 * 3_600);
        let known: Value = me().await.json();
        assert_eq!((&known["organisation"]["id"], &known["holder"]), (&json!("nordlicht"), &json!("Anna")));
    }
}

#[tokio::test]
async fn of_a_descriptor_its_first_address_signs() {
    let plane = Plane::start().await;
    plane.operator("nordlicht").await;
    // BIP 32's first test vector: what the wallet keeps, and what the operator shows.
    let secp = Secp256k1::new();
    let seed: Vec<u8> = (0..16).collect();
    let master = bitcoin::bip32::Xpriv::new_master(Network::Regtest, &seed).unwrap();
    let account = bitcoin::bip32::Xpub::from_priv(&secp, &master);
    let pay = json!({ "pay": format!("wpkh({account}/0/*)") });
    plane.post("/operators/nordlicht/destination", pay).await.ok();
    let at = |index: u32| {
        let path: bitcoin::bip32::DerivationPath = format!("m/0/{index}").parse().unwrap();
        let key = master.derive_priv(&secp, &path).unwrap().private_key;
        Wallet { secp: secp.clone(), key, public: CompressedPublicKey(key.public_key(&secp)) }
    };
    let now = plane.now();
    recover(&plane, &at(1).simple(&message(now)), now).await.problem(ProblemKind::Address);
    recover(&plane, &at(0).simple(&message(now)), now).await.ok();
}
