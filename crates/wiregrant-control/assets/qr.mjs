// QR codes (ISO/IEC 18004) in byte mode, versions 1 to 40, error correction level L: a screen has no dirt, and bigger modules
// are what a poor camera reads best.

// Table 9 of the standard for level L, by version: codewords of error correction in a block, and blocks.
const CORRECTION = [7, 10, 15, 20, 26, 18, 20, 24, 30, 18, 20, 24, 26, 30, 22, 24, 28, 30, 28, 28, 28, 28, 30, 30, 26, 28, 30,
  30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30];
const BLOCKS = [1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 4, 6, 6, 6, 6, 7, 8, 8, 9, 9, 10, 12, 12, 12, 13, 14, 15, 16, 17, 18, 19,
  19, 20, 21, 22, 24, 25];
const MASKS = [
  (x, y) => (x + y) % 2, (x, y) => y % 2, (x) => x % 3, (x, y) => (x + y) % 3,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2, (x, y) => ((x * y) % 2) + ((x * y) % 3),
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2, (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2,
];

/** Modules that are neither a function pattern nor format or version information. */
function dataModules(version) {
  let modules = (16 * version + 128) * version + 64;
  if (version >= 2) {
    const n = Math.floor(version / 7) + 2;
    modules -= (25 * n - 10) * n - 55;
    if (version >= 7) modules -= 36;
  }
  return modules;
}

const codewords = (version) => Math.floor(dataModules(version) / 8);
const dataCodewords = (version) => codewords(version) - CORRECTION[version - 1] * BLOCKS[version - 1];
const lengthBits = (version) => (version < 10 ? 8 : 16);

function multiply(a, b) {
  let product = 0;
  for (let i = 7; i >= 0; i -= 1) {
    product = (product << 1) ^ ((product >> 7) * 0x11d);
    product ^= ((b >> i) & 1) * a;
  }
  return product;
}

function divisor(degree) {
  const result = new Array(degree).fill(0);
  result[degree - 1] = 1;
  let root = 1;
  for (let i = 0; i < degree; i += 1) {
    for (let j = 0; j < degree; j += 1) {
      result[j] = multiply(result[j], root) ^ (j + 1 < degree ? result[j + 1] : 0);
    }
    root = multiply(root, 2);
  }
  return result;
}

function remainder(data, by) {
  const result = new Array(by.length).fill(0);
  for (const byte of data) {
    const factor = byte ^ result.shift();
    result.push(0);
    by.forEach((coefficient, i) => { result[i] ^= multiply(coefficient, factor); });
  }
  return result;
}

/** The message as codewords: mode, length, bytes, terminator, padding. */
function encoded(bytes, version) {
  const bits = [];
  const put = (value, length) => { for (let i = length - 1; i >= 0; i -= 1) bits.push((value >>> i) & 1); };
  put(4, 4);
  put(bytes.length, lengthBits(version));
  bytes.forEach((byte) => put(byte, 8));
  const capacity = dataCodewords(version) * 8;
  put(0, Math.min(4, capacity - bits.length));
  put(0, (8 - (bits.length % 8)) % 8);
  for (let pad = 0xec; bits.length < capacity; pad ^= 0xec ^ 0x11) put(pad, 8);
  return Array.from({ length: bits.length / 8 }, (_, i) => bits.slice(i * 8, i * 8 + 8).reduce((n, bit) => (n << 1) | bit, 0));
}

/** Splits into blocks, adds error correction, and interleaves. */
function interleaved(data, version) {
  const [count, correction, all] = [BLOCKS[version - 1], CORRECTION[version - 1], codewords(version)];
  const short = count - (all % count);
  const shortLength = Math.floor(all / count) - correction;
  const by = divisor(correction);
  const blocks = [];
  for (let i = 0, at = 0; i < count; i += 1) {
    const length = shortLength + (i < short ? 0 : 1);
    const block = data.slice(at, at + length);
    at += length;
    blocks.push({ block, correction: remainder(block, by) });
  }
  const result = [];
  for (let i = 0; i <= shortLength; i += 1) {
    for (const { block } of blocks) if (i < block.length) result.push(block[i]);
  }
  for (let i = 0; i < correction; i += 1) for (const block of blocks) result.push(block.correction[i]);
  return result;
}

function alignmentCentres(version) {
  if (version === 1) return [];
  const n = Math.floor(version / 7) + 2;
  const step = version === 32 ? 26 : Math.ceil((version * 4 + 4) / (n * 2 - 2)) * 2;
  const centres = [6];
  for (let at = version * 4 + 10; centres.length < n; at -= step) centres.splice(1, 0, at);
  return centres;
}

function symbol(version) {
  const size = version * 4 + 17;
  const square = () => Array.from({ length: size }, () => new Array(size).fill(false));
  return { size, version, dark: square(), reserved: square() };
}

function set(qr, x, y, dark) {
  if (x < 0 || y < 0 || x >= qr.size || y >= qr.size) return;
  qr.dark[y][x] = Boolean(dark);
  qr.reserved[y][x] = true;
}

function drawFunctionPatterns(qr) {
  for (let i = 0; i < qr.size; i += 1) {
    set(qr, 6, i, i % 2 === 0);
    set(qr, i, 6, i % 2 === 0);
  }
  for (const [cx, cy] of [[3, 3], [qr.size - 4, 3], [3, qr.size - 4]]) {
    for (let dy = -4; dy <= 4; dy += 1) {
      for (let dx = -4; dx <= 4; dx += 1) {
        const ring = Math.max(Math.abs(dx), Math.abs(dy));
        set(qr, cx + dx, cy + dy, ring !== 2 && ring !== 4);
      }
    }
  }
  const centres = alignmentCentres(qr.version);
  const last = centres.length - 1;
  centres.forEach((cy, i) => centres.forEach((cx, j) => {
    if ((i === 0 && j === 0) || (i === 0 && j === last) || (i === last && j === 0)) return;
    for (let dy = -2; dy <= 2; dy += 1) {
      for (let dx = -2; dx <= 2; dx += 1) set(qr, cx + dx, cy + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
    }
  }));
  drawFormat(qr, 0);
  if (qr.version >= 7) drawVersion(qr);
}

function bch(value, generator, bits) {
  let rest = value;
  for (let i = 0; i < bits; i += 1) rest = (rest << 1) ^ ((rest >>> (bits - 1)) * generator);
  return (value << bits) | rest;
}

function drawFormat(qr, mask) {
  const bits = bch((1 << 3) | mask, 0x537, 10) ^ 0x5412; // 1: level L
  const bit = (i) => (bits >>> i) & 1;
  for (let i = 0; i <= 5; i += 1) set(qr, 8, i, bit(i));
  set(qr, 8, 7, bit(6));
  set(qr, 8, 8, bit(7));
  set(qr, 7, 8, bit(8));
  for (let i = 9; i < 15; i += 1) set(qr, 14 - i, 8, bit(i));
  for (let i = 0; i < 8; i += 1) set(qr, qr.size - 1 - i, 8, bit(i));
  for (let i = 8; i < 15; i += 1) set(qr, 8, qr.size - 15 + i, bit(i));
  set(qr, 8, qr.size - 8, true);
}

function drawVersion(qr) {
  const bits = bch(qr.version, 0x1f25, 12);
  for (let i = 0; i < 18; i += 1) {
    const [a, b] = [qr.size - 11 + (i % 3), Math.floor(i / 3)];
    set(qr, a, b, (bits >>> i) & 1);
    set(qr, b, a, (bits >>> i) & 1);
  }
}

function drawCodewords(qr, words) {
  let i = 0;
  for (let right = qr.size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    const upward = ((right + 1) & 2) === 0;
    for (let step = 0; step < qr.size; step += 1) {
      for (const x of [right, right - 1]) {
        const y = upward ? qr.size - 1 - step : step;
        if (qr.reserved[y][x]) continue;
        qr.dark[y][x] = i < words.length * 8 && ((words[i >> 3] >>> (7 - (i & 7))) & 1) === 1;
        i += 1;
      }
    }
  }
}

function applyMask(qr, mask) {
  for (let y = 0; y < qr.size; y += 1) {
    for (let x = 0; x < qr.size; x += 1) {
      if (!qr.reserved[y][x] && MASKS[mask](x, y) === 0) qr.dark[y][x] = !qr.dark[y][x];
    }
  }
}

/** How hard a symbol is to read: the four features of the standard's section on evaluating masks. */
function penalty({ size, dark }) {
  const lines = [...dark, ...dark.map((_, x) => dark.map((row) => row[x]))].map((line) => line.map(Number).join(""));
  let points = 0;
  for (const line of lines) {
    for (const run of line.match(/0{5,}|1{5,}/g) ?? []) points += run.length - 2;
    points += 40 * (line.match(/(?=10111010000|00001011101)/g) ?? []).length;
  }
  let count = 0;
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      count += dark[y][x] ? 1 : 0;
      const same = (a, b) => dark[b]?.[a] === dark[y][x];
      if (x + 1 < size && y + 1 < size && same(x + 1, y) && same(x, y + 1) && same(x + 1, y + 1)) points += 3;
    }
  }
  return points + 10 * Math.floor(Math.abs((count * 20) / (size * size) - 10));
}

/** The symbol for a text: rows of booleans, true is dark. */
export function qrModules(text) {
  const bytes = [...new TextEncoder().encode(text)];
  let version = 1;
  while (version <= 40 && bytes.length * 8 + 4 + lengthBits(version) > dataCodewords(version) * 8) version += 1;
  if (version > 40) throw new RangeError(`${bytes.length} bytes do not fit into a QR code`);
  const qr = symbol(version);
  drawFunctionPatterns(qr);
  drawCodewords(qr, interleaved(encoded(bytes, version), version));
  let best = { points: Infinity, mask: 0 };
  for (let mask = 0; mask < 8; mask += 1) {
    applyMask(qr, mask);
    drawFormat(qr, mask);
    const points = penalty(qr);
    if (points < best.points) best = { points, mask };
    applyMask(qr, mask); // a mask is its own inverse
  }
  applyMask(qr, best.mask);
  drawFormat(qr, best.mask);
  return qr.dark;
}

/** Draws a text's symbol into an element, as SVG, with the quiet zone of four modules; `label` is for who does not see it. */
export function drawQr(element, text, label) {
  const modules = qrModules(text);
  const size = modules.length + 8;
  const path = modules.map((row, y) => row.map((dark, x) => (dark ? `M${x + 4} ${y + 4}h1v1h-1z` : "")).join("")).join("");
  const make = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    return made;
  };
  const svg = make("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" });
  svg.append(make("rect", { width: size, height: size, fill: "#fff" }), make("path", { d: path, fill: "#000" }));
  element.replaceChildren(svg);
}
