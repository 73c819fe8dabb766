// A WireGuard key pair, made in this browser. The private half leaves it only inside the file that its owner saves.
//
// WebCrypto's X25519 where there is one; it is missing on pages without TLS and in browsers older than Chrome 133, Firefox 130
// and Safari 17. Then the Montgomery ladder of RFC 7748 on BigInt: not constant-time, which tells something only to whoever
// measures this very machine.

const P = 2n ** 255n - 19n;
const A24 = 121665n;

const modP = (n) => ((n % P) + P) % P;

function power(base, exponent) {
  let result = 1n;
  for (let b = modP(base), e = exponent; e > 0n; e >>= 1n, b = modP(b * b)) {
    if (e & 1n) result = modP(result * b);
  }
  return result;
}

function fromLittleEndian(bytes) {
  return bytes.reduceRight((n, byte) => (n << 8n) | BigInt(byte), 0n);
}

function toLittleEndian(n) {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((n >> BigInt(8 * i)) & 255n));
}

/** Clamps 32 bytes as RFC 7748, section 5, decodes a scalar. */
export function clamped(bytes) {
  const scalar = Uint8Array.from(bytes);
  scalar[0] &= 248;
  scalar[31] = (scalar[31] & 127) | 64;
  return scalar;
}

/** X25519 of RFC 7748, section 5: the u-coordinate of `scalar` times the point with u-coordinate `u`, both 32 bytes. */
export function x25519(scalar, u) {
  const k = fromLittleEndian(clamped(scalar));
  const x1 = fromLittleEndian(u) & (2n ** 255n - 1n);
  let [x2, z2, x3, z3, swapped] = [1n, 0n, x1, 1n, 0n];
  for (let t = 254n; t >= 0n; t -= 1n) {
    const bit = (k >> t) & 1n;
    if (swapped !== bit) [x2, x3, z2, z3] = [x3, x2, z3, z2];
    swapped = bit;
    const [a, b, c, d] = [modP(x2 + z2), modP(x2 - z2), modP(x3 + z3), modP(x3 - z3)];
    const [aa, bb, da, cb] = [modP(a * a), modP(b * b), modP(d * a), modP(c * b)];
    const e = modP(aa - bb);
    x3 = modP((da + cb) ** 2n);
    z3 = modP(x1 * (da - cb) ** 2n);
    x2 = modP(aa * bb);
    z2 = modP(e * (aa + A24 * e));
  }
  if (swapped) [x2, z2] = [x3, z3];
  return toLittleEndian(modP(x2 * power(z2, P - 2n)));
}

const base64 = (bytes) => btoa(String.fromCharCode(...bytes));

function fromBase64Url(text) {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
}

async function byWebCrypto() {
  const pair = await crypto.subtle.generateKey({ name: "X25519" }, true, ["deriveBits"]);
  const { d, x } = await crypto.subtle.exportKey("jwk", pair.privateKey);
  return { privateKey: base64(clamped(fromBase64Url(d))), publicKey: base64(fromBase64Url(x)) };
}

function byLadder() {
  const scalar = clamped(crypto.getRandomValues(new Uint8Array(32)));
  const basePoint = toLittleEndian(9n);
  return { privateKey: base64(scalar), publicKey: base64(x25519(scalar, basePoint)) };
}

/** A new pair, both halves in padded base64, as `wg genkey` and `wg pubkey` print them. */
export async function newKeyPair() {
  try {
    return await byWebCrypto();
  } catch {
    return byLadder();
  }
}
