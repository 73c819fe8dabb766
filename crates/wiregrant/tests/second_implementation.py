"""A second verifier of a public folder, written from docs/formats.md and docs/verify.md alone.

It shares no line with the first one, so that a mistake in the code and its twin in the documents cannot hide each other.
Usage: second_implementation.py FOLDER... One line for each folder, `ok` or the first finding; exit 1 when one has a finding. It
keeps no checkpoints, so that it sees one moment of a record and not its past.
"""

import base64
import hashlib
import pathlib
import re
import struct
import sys
from datetime import datetime, timezone
from fractions import Fraction

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MOST = 2**63 - 1
MOST_SATS = 21 * 10**14
WIDTH = 256
ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
TERMS = [
    "challenge-seconds", "close-delay-seconds", "epoch-seconds", "epochs", "floor", "minimum-payout-sats", "rule", "start",
    "unit-bytes",
]
TERMS_OF_RULE_2 = TERMS + [
    "admission", "approvals", "capacity-mbit-per-second", "ceiling-sats-per-unit", "invited-percent",
    "operator-share-percent", "peer-cap-bytes", "site-share-percent",
]
DUST = 546


class Finding(Exception):
    """Something that does not hold."""


def require(holds, what):
    if not holds:
        raise Finding(what)


def sha256(data):
    return hashlib.sha256(data).digest()


def number(text, signed=False):
    body = text[1:] if signed and text.startswith("-") else text
    require(re.fullmatch(r"0|[1-9][0-9]*", body), f"{text!r} is no number")
    require(int(body) <= MOST, f"{text} is above 2^63-1")
    return int(text)


def identifier(text):
    require(ID.match(text), f"{text!r} is no id")
    return text


def hash_of(text):
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        raise Finding(f"{text!r} is no hash") from None
    require(len(value) == 32 and base64.b64encode(value).decode() == text, f"{text!r} is no hash")
    return value


def unix_seconds(text):
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        raise Finding(f"{text!r} is no time") from None
    require(moment.strftime("%Y-%m-%dT%H:%M:%SZ") == text, f"{text!r} is no time")
    return int(moment.timestamp())


class Key:
    """A C2SP verifier key: name, '+', eight hex digits, '+', base64 of 1 and the 32 bytes."""

    def __init__(self, vkey):
        parts = vkey.split("+", 2)
        require(len(parts) == 3, "no verifier key")
        self.text, self.name = vkey, parts[0]
        try:
            raw = base64.b64decode(parts[2], validate=True)
        except ValueError:
            raise Finding("no verifier key") from None
        require(len(raw) == 33 and raw[0] == 1, "no Ed25519 verifier key")
        self.id = sha256(self.name.encode() + b"\n" + raw)[:4]
        require(self.id.hex() == parts[1], "the key's id is not that of its bytes")
        self.public = Ed25519PublicKey.from_public_bytes(raw[1:])

    def check(self, text, lines):
        """One of the signature lines is this key's, and it holds over the text."""
        mine = 0
        for line in lines:
            require(line.startswith("\u2014 "), "no signature line")
            name, _, blob = line[2:].partition(" ")
            try:
                raw = base64.b64decode(blob, validate=True)
            except ValueError:
                raise Finding("a signature is not base64") from None
            require(base64.b64encode(raw).decode() == blob, "a signature is not canonical base64")
            if name == self.name and raw[:4] == self.id:
                mine += 1
                try:
                    self.public.verify(raw[4:], text.encode())
                except InvalidSignature:
                    raise Finding(f"the signature of {self.name} does not hold") from None
        require(mine == 1, f"not one signature of {self.name}")


def split_note(raw):
    try:
        note = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Finding("a note is not UTF-8") from None
    text, separator, signatures = note.rpartition("\n\n")
    require(separator and signatures.endswith("\n"), "a note has no signatures")
    return text + "\n", signatures[:-1].split("\n")


def leaf(entry):
    return sha256(b"\0" + entry)


def root(leaves):
    """RFC 6962, section 2.1: the largest power of two below the size goes to the left."""
    if not leaves:
        return sha256(b"")
    while len(leaves) > 1:
        pairs = [sha256(b"\1" + leaves[i] + leaves[i + 1]) for i in range(0, len(leaves) - 1, 2)]
        leaves = pairs + leaves[len(leaves) // 2 * 2 :]
    return leaves[0]


def tile_path(folder, level, index, width):
    digits, head = [f"{index % 1000:03}"], index // 1000
    while head:
        digits.insert(0, f"x{head % 1000:03}")
        head //= 1000
    partial = "" if width == WIDTH else f".p/{width}"
    return folder / "tile" / level / ("/".join(digits) + partial)


def read(path):
    try:
        return path.read_bytes()
    except OSError:
        raise Finding(f"{path} is not there") from None


class Log:
    """One public log, read whole."""

    def __init__(self, folder):
        vkey = read(folder / "vkey").decode("utf-8", "replace")
        self.key = Key(vkey[:-1] if vkey.endswith("\n") else vkey)
        text, signatures = split_note(read(folder / "checkpoint"))
        self.key.check(text, signatures)
        lines = text.split("\n")
        require(len(lines) >= 4 and lines[-1] == "", "a checkpoint has at least three lines")
        self.origin, size, self.root = lines[0], number(lines[1]), hash_of(lines[2])
        require(self.origin == self.key.name, "the checkpoint is of another log")
        self.entries = []
        for start in range(0, size, WIDTH):
            width = min(WIDTH, size - start)
            bundle, count = read(tile_path(folder, "entries", start // WIDTH, width)), 0
            while bundle:
                require(len(bundle) >= 2, "an entry bundle ends early")
                (length,) = struct.unpack(">H", bundle[:2])
                require(len(bundle) >= 2 + length, "an entry bundle ends early")
                self.entries.append(bundle[2 : 2 + length])
                bundle, count = bundle[2 + length :], count + 1
            require(count == width, "an entry bundle has another number of entries")
        self.leaves = [leaf(entry) for entry in self.entries]
        require(root(self.leaves) == self.root, "the root is not that of the entries")
        level, hashes = 0, self.leaves
        while hashes:
            for start in range(0, len(hashes), WIDTH):
                tile = hashes[start : start + WIDTH]
                path = tile_path(folder, str(level), start // WIDTH, len(tile))
                require(read(path) == b"".join(tile), f"{path} is not that of the entries")
            whole = len(hashes) // WIDTH
            hashes = [root(hashes[n * WIDTH : (n + 1) * WIDTH]) for n in range(whole)]
            level += 1

    def root_at(self, size):
        require(size <= len(self.leaves), "a size above the log's")
        return root(self.leaves[:size])


class Lines:
    """The lines of a note, taken in their order."""

    def __init__(self, text, kind):
        require(text.isascii() and text.endswith("\n") and "\n\n" not in text, f"{kind}: not a note's text")
        self.rest = text[:-1].split("\n")
        require(self.rest.pop(0) == f"wiregrant/{kind}/v1", f"not a {kind}")

    def one(self, name, count=1):
        require(self.rest, f"{name} is missing")
        fields = self.rest.pop(0).split(" ")
        require(fields[0] == name and len(fields) == count + 1 and all(fields), f"{name} is missing or malformed")
        return fields[1] if count == 1 else fields[1:]

    def many(self, name, count, leading):
        lines = []
        while self.rest and self.rest[0].split(" ")[0] == name:
            lines.append(self.rest[0])
            self.rest.pop(0)
        require(lines == sorted(set(lines)), f"the {name} lines are not sorted")
        fields = [line.split(" ")[1:] for line in lines]
        require(all(len(f) == count and all(f) for f in fields), f"a {name} line is malformed")
        keys = [tuple(f[:leading]) for f in fields]
        require(len(keys) == len(set(keys)), f"two {name} lines for one")
        return fields

    def end(self):
        require(not self.rest, f"{self.rest[:1]} is too much")


def parse_terms(lines):
    terms = {name: number(value) for name, value in lines.many("term", 2, 1)}
    require(terms.get("rule") in (1, 2), "an allocation rule that is not known")
    known = TERMS if terms["rule"] == 1 else sorted(TERMS_OF_RULE_2)
    require(sorted(terms) == known, "the terms are not all there, or there are more")
    return terms


def sats(text, signed=False):
    value = number(text, signed)
    require(abs(value) <= MOST_SATS, f"{text} sats are more than there are")
    return value


def parse_statement(text):
    lines, s = Lines(text, "statement"), {}
    s["log"], s["network"], s["grant"] = lines.one("log"), lines.one("network"), identifier(lines.one("grant"))
    epoch, start, end = lines.one("epoch", 3)
    s["epoch"], s["start"], s["end"] = number(epoch), unix_seconds(start), unix_seconds(end)
    s["previous"] = lines.one("previous")
    size, reports_root = lines.one("reports", 2)
    s["reports"] = (number(size), hash_of(reports_root))
    hash_of(lines.one("inputs"))
    s["terms"] = parse_terms(lines)
    for name in ["contributed", "allotted"]:
        s[name] = sats(lines.one(name))
    s["epochs-left"], s["pot"] = number(lines.one("epochs-left")), sats(lines.one("pot"))
    number(lines.one("issued"))
    s["nodes"] = {
        identifier(node): (identifier(operator), 0 if units == "-" else number(units), number(site))
        for node, operator, location, site, units in lines.many("node", 5, 1)
        if identifier(location)
    }
    s["adjust"] = [
        (identifier(operator), sats(value, signed=True), reason, number(epoch))
        for operator, value, reason, epoch in lines.many("adjust", 4, 4)
    ]
    s["operators"] = {
        identifier(operator): [sats(value) for value in values]
        for operator, *values in lines.many("operator", 5, 1)
    }
    s["unspent"] = sats(lines.one("unspent"))
    lines.end()
    return s


def split(pot, grant, epoch, units):
    """Rule 1: largest remainders, ties by SHA-256."""
    total = sum(units.values())
    if total == 0:
        return {operator: 0 for operator in units}
    earned = {operator: pot * u // total for operator, u in units.items()}
    order = sorted(
        units, key=lambda o: (-(pot * units[o] % total), sha256(f"{grant}\n{epoch}\n{o}".encode()))
    )
    for operator in order[: pot - sum(earned.values())]:
        earned[operator] += 1
    return earned


def fill(pot, grant, epoch, terms, nodes):
    """Rule 2: one level rises for all cells until each is stopped by a bound; what rounding leaves goes by remainder."""
    by_site = terms["site-share-percent"] < 100
    cells = {}
    for operator, count, site in nodes:
        cell = (operator, site if by_site else 0)
        cells[cell] = cells.get(cell, 0) + count
    share = {name: pot * terms[f"{name}-share-percent"] // 100 for name in ("operator", "site")}
    groups = [(pot, list(cells))]
    for place, name in enumerate(share):
        for one in {cell[place] for cell in cells}:
            groups.append((share[name], [cell for cell in cells if cell[place] == one]))
    has = {cell: (0, Fraction(0)) for cell, count in cells.items() if count == 0}
    while len(has) < len(cells):
        levels = []
        for most, held in groups:
            rising = sum(cells[cell] for cell in held if cell not in has)
            if rising:
                levels.append((Fraction(most - sum(has[c][0] for c in held if c in has), rising), held))
        level = min(level for level, _ in levels)
        stopping = {cell for one, held in levels if one == level for cell in held if cell not in has}
        ceiling = terms["ceiling-sats-per-unit"]
        if ceiling and ceiling <= level:
            level, stopping = Fraction(ceiling), set(cells) - set(has)
        for cell in stopping:
            exact = cells[cell] * level
            has[cell] = (int(exact), exact - int(exact))
    order = sorted(
        has, key=lambda cell: (-has[cell][1], sha256(f"{grant}\n{epoch}\n{cell[0]}".encode()), cell[1])
    )
    for cell in order:
        room = all(sum(has[c][0] for c in held) < most for most, held in groups if cell in held)
        if has[cell][1] and room:
            has[cell] = (has[cell][0] + 1, has[cell][1])
    earned = {}
    for (operator, _), (value, _) in has.items():
        earned[operator] = earned.get(operator, 0) + value
    return earned


def check_sums(s, last, forfeited):
    """The arithmetic of a statement, by nothing but its lines and the last one's."""
    terms = s["terms"]
    require(s["epochs-left"] == terms["epochs"] - s["epoch"] + 1 >= 1, "epochs-left does not follow from the terms")
    begin = terms["start"] + (s["epoch"] - 1) * terms["epoch-seconds"]
    require((s["start"], s["end"]) == (begin, begin + terms["epoch-seconds"]), "the epoch lies elsewhere by the terms")
    require(s["contributed"] >= s["allotted"], "more was allotted than contributed")
    require(s["pot"] == (s["contributed"] - s["allotted"]) // s["epochs-left"], "the pot does not follow")
    allotted = 0
    if last:
        earned = sum(line[0] for line in last["operators"].values())
        allotted = last["allotted"] + earned + sum(value for _, value, _, _ in last["adjust"])
    require(s["allotted"] == allotted - forfeited, "allotted does not follow from the last statement")
    units, adjusted, brought = {}, {}, {}
    for operator, count, _ in s["nodes"].values():
        units[operator] = units.get(operator, 0) + count
    for operator, value, _, epoch in s["adjust"]:
        require(1 <= epoch < s["epoch"], "an adjustment of no earlier epoch")
        adjusted[operator] = adjusted.get(operator, 0) + value
    for operator, line in last["operators"].items() if last else []:
        if line[3]:
            brought[operator] = line[3]
    for operator in set(units) | set(adjusted) | set(brought):
        require(operator in s["operators"], f"no line for {operator}")
    if terms["rule"] == 1:
        earned = split(s["pot"], s["grant"], s["epoch"], {o: units.get(o, 0) for o in s["operators"]})
    else:
        earned = {o: 0 for o in s["operators"]} | fill(s["pot"], s["grant"], s["epoch"], terms, s["nodes"].values())
    after = s["allotted"] + sum(earned.values()) + sum(adjusted.values())
    require(after <= s["contributed"], "more is earned and adjusted than was contributed")
    least = terms["minimum-payout-sats"]
    if terms["rule"] == 2 and s["epochs-left"] == 1:
        least = min(least, DUST)
    for operator, (got, had, payable, carried) in s["operators"].items():
        require(had == brought.get(operator, 0), f"brought of {operator} does not follow")
        require(got == earned[operator], f"earned of {operator} does not follow")
        due = had + got + adjusted.get(operator, 0)
        paid = due if due >= least else 0
        require(due >= 0 and [payable, carried] == [paid, due - paid], f"payable of {operator} does not follow")
    require(s["unspent"] == s["pot"] - sum(earned.values()), "unspent does not follow")


class Record:
    """The record log, replayed."""

    def __init__(self, folder, log, reports):
        self.folder, self.log, self.reports = folder, log, reports
        self.statement_key, self.log_key, self.log_keys, self.node_keys, self.statement_keys = None, None, [], {}, []
        self.operators, self.nodes, self.grants, self.batches, self.paid, self.held = {}, {}, {}, {}, {}, {}
        self.before, self.begins, self.carried, self.named = None, {}, [], log.origin
        for place, entry in enumerate(log.entries):
            require(len(entry) <= 1000 and entry.isascii(), f"entry {place} is no entry")
            fields = entry.decode().split(" ")
            own = f"{log.origin}/statement"
            ends = fields[:2] == ["key", "statement"] and fields[-1].split("+")[0] == own
            if self.carrying(place) and not ends:
                self.carried.append(log.leaves[place])
            act = getattr(self, "on_" + fields[0].replace("-", "_"), None)
            try:
                require(act, "an entry that is not known")
                act(place, *fields[1:])
            except TypeError:
                raise Finding(f"entry {place}: {entry.decode()!r} has another form") from None
            except Finding as finding:
                raise Finding(f"entry {place} {entry.decode()!r}: {finding}") from None
        require(self.log_key and self.log_key.text == log.key.text, "the newest key the record names is another one")
        require(not self.before or not self.before[0], "no statement key ends what is carried over")

    def carrying(self, place):
        """Whether an entry is one of the log before, carried over."""
        return place > 1 and self.before and self.before[0]

    def root_of(self, origin, size):
        """The root of this log, or of one that is carried over."""
        if origin == self.log.origin:
            return self.log.root_at(size)
        require(origin in self.begins, "a log that is not carried over")
        begin = self.begins[origin]
        require(begin + size <= len(self.carried), "more of a log than is carried over")
        return root(self.carried[begin : begin + size])

    def note(self, digest, *keys):
        """A note under its hash, signed by one of these keys; by the statement key where none is named."""
        raw = read(self.folder / "note" / hash_of(digest).hex())
        require(sha256(raw) == hash_of(digest), "a note is not what its hash says")
        text, signatures = split_note(raw)
        keys = [key for key in keys + (self.statement_key,) if key]
        require(keys and len(signatures) == 1, "not one signature of a known key")
        for key in keys[:-1]:
            try:
                key.check(text, signatures)
                return text
            except Finding:
                pass
        keys[-1].check(text, signatures)
        return text

    def grant(self, name):
        require(name in self.grants, f"grant {name} is not known")
        return self.grants[name]

    def known(self, table, name):
        require(name in table, f"{name} is not known")

    def on_key(self, place, role, vkey):
        require(role in ("log", "statement"), "a role that is not known")
        if role == "log":
            key = Key(vkey)
            if self.carrying(place):
                require(key.name in self.begins, "a log key of another log")
                return
            require(key.name == self.log.origin and vkey not in self.log_keys, "no key that this log may go on with")
            if self.log_key:
                self.handed_over(place)
            self.log_keys.append(vkey)
            self.log_key = key
        else:
            require(all(vkey != key.text for key in self.statement_keys), "a statement key comes back")
            self.statement_key = Key(vkey)
            self.statement_keys.append(self.statement_key)
            if self.before:
                log = self.statement_key.name.removesuffix("/statement")
                if log in self.begins or log == self.log.origin:
                    self.named = log
                if self.carrying(place) and log == self.log.origin:
                    _, size, old_root = self.before
                    require(len(self.carried) <= size, "more is carried over than the log before had")
                    require(len(self.carried) < size or root(self.carried) == old_root, "it had another root")
                    self.before = (False, size, old_root)
        require(self.log_key, "`key log` is not the first entry")

    def handed_over(self, place):
        """The last checkpoint of the key before covers the entry that names the next."""
        before = self.log_key
        text, signatures = split_note(read(self.folder / f"checkpoint.{before.id.hex()}"))
        before.check(text, signatures)
        lines = text.split("\n")
        require(len(lines) >= 4 and lines[0] == self.log.origin, "the last checkpoint is of another log")
        size = number(lines[1])
        require(place < size, "the last checkpoint of the key before does not cover this entry")
        require(self.log.root_at(size) == hash_of(lines[2]), "the last checkpoint is of another history")

    def on_continues(self, place, origin, size, old_root):
        hash_of(old_root)
        if self.carrying(place):
            first = max(self.begins.values())
            require(len(self.carried) == first + 1, "`continues` is not the first entry of its log")
            self.begins[origin], self.named = first + 2, origin
            return
        require(place == 0, "`continues` is not the first entry")
        self.before, self.begins, self.named = (True, number(size), hash_of(old_root)), {origin: 0}, origin

    def on_operator(self, place, operator, vkey):
        self.operators.setdefault(identifier(operator), 0)
        require(vkey == "-" or Key(vkey).name == operator, "the key has another name")

    def on_enrol(self, place, node, operator, vkey):
        self.known(self.operators, operator)
        require(identifier(node) not in self.nodes and Key(vkey), "a node enrolled twice")
        self.nodes[node] = operator
        self.node_keys[node] = Key(vkey)

    def on_rekey(self, place, node, vkey, digest):
        self.known(self.nodes, node)
        former = self.node_keys[node]
        lines = self.note(digest, former).split("\n")
        require(len(lines) == 8 and lines[7] == "" and lines[0] == "wiregrant/rekey/v1", "no rekey note")
        expected = [
            f"log {self.named}", f"node {node}", f"operator {self.nodes[node]}", f"former {former.text}", f"vkey {vkey}",
        ]
        require(lines[1:6] == expected and vkey != former.text, "the rekey note says something else")
        require(lines[6].startswith("time ") and unix_seconds(lines[6][5:]), "no time")
        self.node_keys[node] = Key(vkey)
        require(self.node_keys[node].name == node, "the key has another name")

    def on_retire(self, place, node):
        self.known(self.nodes, node)

    def on_freeze(self, place, node, reason):
        self.known(self.nodes, node)

    def on_unfreeze(self, place, node):
        self.known(self.nodes, node)

    def on_finding(self, place, grant, node, reason):
        self.grant(grant)
        self.known(self.nodes, node)

    def on_destination(self, place, operator, sequence, digest):
        self.known(self.operators, operator)
        self.operators[operator] += 1
        require(number(sequence) == self.operators[operator] and hash_of(digest), "the sequence has a gap")

    def on_terms(self, place, grant, digest, first):
        g = self.grants.setdefault(identifier(grant), {"terms": [], "sums": [], "stays": {}, "statements": [], "forfeited": 0})
        lines = Lines(self.note(digest), "terms")
        require(lines.one("log") == self.named, "terms of another log")
        lines.one("network")
        require(lines.one("grant") == grant, "terms of another grant")
        require(lines.one("previous") == (g["terms"][-1][1] if g["terms"] else "-"), "terms leave some out")
        require(number(first) > len(g["statements"]), "terms for an epoch that is closed")
        terms = parse_terms(lines)
        if g["terms"]:
            before = g["terms"][-1][2]
            same = all(terms[name] == before[name] for name in ("start", "epoch-seconds"))
            require(same and terms["rule"] >= before["rule"], "the calendar changes, or the rule becomes an older one")
            require(number(first) <= min(terms["epochs"], before["epochs"]), "an epoch is taken away")
        g["terms"].append((number(first), digest, terms))
        lines.end()

    def on_contribute(self, place, grant, value):
        sums = self.grant(grant)["sums"]
        sums.append((sums[-1] if sums else 0) + sats(value))

    def on_admit(self, place, grant, node, first):
        stays = self.grant(grant)["stays"].setdefault(node, [])
        self.known(self.nodes, node)
        require(not stays or stays[-1][1] is not None, "a member is admitted again")
        stays.append([number(first), None])

    def on_leave(self, place, grant, node, first):
        stays = self.grant(grant)["stays"].get(node)
        require(stays and stays[-1][1] is None, "no member leaves")
        stays[-1][1] = number(first)

    def on_statement(self, place, grant, epoch, digest):
        g = self.grant(grant)
        s, last = parse_statement(self.note(digest)), g["statements"][-1] if g["statements"] else None
        require((s["log"], s["grant"]) == (self.named, grant), "a statement of another log or grant")
        require(s["epoch"] == number(epoch) == len(g["statements"]) + 1, "an epoch is left out")
        require(s["previous"] == (last["digest"] if last else "-"), "previous is not the last statement")
        require(not last or s["network"] == last["network"], "another network")
        in_force = [terms for first, _, terms in g["terms"] if first <= s["epoch"]]
        require(in_force and s["terms"] == in_force[-1], "the terms are not those in force")
        require(s["contributed"] in [0] + g["sums"], "contributed was never reached")
        require(not last or s["contributed"] >= last["contributed"], "contributed fell")
        members = {
            node
            for node, stays in g["stays"].items()
            if any(first <= s["epoch"] and (end is None or s["epoch"] < end) for first, end in stays)
        }
        before = {
            node
            for node, stays in g["stays"].items()
            if any(first < s["epoch"] and (end is None or first < end) for first, end in stays)
        }
        require(members <= set(s["nodes"]) <= members | before, "the nodes are not the members, now or before")
        require(all(self.nodes[node] == line[0] for node, line in s["nodes"].items()), "a node of another operator")
        size, digest_of_reports = s["reports"]
        require(size >= (last["reports"][0] if last else 0), "the reports shrank")
        require(self.reports.root_at(size) == digest_of_reports, "the reports have another root")
        check_sums(s, last, g["forfeited"])
        g["forfeited"] = 0
        s["digest"] = digest
        g["statements"].append(s)

    def line_of(self, grant, epoch, operator):
        statements = self.grant(grant)["statements"]
        require(1 <= number(epoch) <= len(statements), "an epoch without statement")
        require(operator in statements[int(epoch) - 1]["operators"], "an operator without line")
        return statements[int(epoch) - 1]["operators"][operator]

    def on_hold(self, place, grant, epoch, operator, reason=None):
        self.line_of(grant, epoch, operator)
        require((grant, epoch, operator) not in self.held, "a line is held twice, or after it was forfeited")
        self.held[grant, epoch, operator] = "held"

    def on_release(self, place, grant, epoch, operator, reason=None):
        require(self.held.pop((grant, epoch, operator), None) == "held", "a line that is not held is released")

    def on_forfeit(self, place, grant, epoch, operator, reason=None):
        require(self.held.get((grant, epoch, operator)) == "held", "a line that is not held is forfeited")
        self.held[grant, epoch, operator] = "forfeited"
        self.grant(grant)["forfeited"] += self.line_of(grant, epoch, operator)[2]

    def on_object(self, place, grant, epoch, operator, reason):
        self.line_of(grant, epoch, operator)

    def on_approve(self, place, grant, epoch, people):
        require(1 <= number(epoch) <= len(self.grant(grant)["statements"]), "an epoch without statement")
        number(people)

    def on_batch(self, place, batch, digest):
        require(identifier(batch) not in self.batches and hash_of(digest), "a batch frozen twice")
        self.batches[batch] = [digest, "frozen"]

    def on_void(self, place, batch, reason):
        require(self.batches.get(batch, [0, 0])[1] == "frozen", "no frozen batch")
        self.batches[batch][1] = "void"

    def on_paid(self, place, batch, txid):
        require(re.fullmatch(r"[0-9a-f]{64}", txid), "no txid")
        require(self.batches.get(batch, [0, 0])[1] == "frozen", "no frozen batch")
        self.batches[batch][1] = "paid"
        lines = Lines(self.note(self.batches[batch][0], *self.statement_keys), "batch")
        origin = lines.one("log")
        require(origin == self.log.origin or origin in self.begins, "a batch of another log")
        lines.one("network")
        require(lines.one("batch") == batch, "another batch")
        lines.one("replaces")
        size, digest = lines.one("record", 2)
        require(self.root_of(origin, number(size)) == hash_of(digest), "the record had another root")
        lines.one("salt")
        total = 0
        for operator, grant, epoch, value, _, sequence in lines.many("line", 6, 3):
            require(number(sequence) >= 1, "no destination")
            key, total = (operator, grant, epoch), total + sats(value)
            self.paid[key] = self.paid.get(key, 0) + sats(value)
            require((grant, epoch, operator) not in self.held, "a line is paid that is held or forfeited")
            require(self.paid[key] <= self.line_of(grant, epoch, operator)[2], "more is paid than is payable")
        require(sats(lines.one("total")) == total, "the total is not the sum")
        lines.end()


def pages(folder, log, record):
    """Files beside the logs are those that the signed manifest names."""
    text, signatures = split_note(read(folder / "manifest"))
    require(record.statement_key and len(signatures) == 1, "not one signature of a known key")
    record.statement_key.check(text, signatures)
    lines = Lines(text, "manifest")
    require(lines.one("log") == log.origin, "a manifest of another log")
    size, at = lines.one("record", 2)
    require(log.root_at(number(size)) == hash_of(at), "a manifest of another record")
    for path, digest in lines.many("file", 2, 1):
        parts = path.split("/")
        good = all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", part) for part in parts)
        require(good and len(path) <= 240, f"{path!r} is no path")
        require(parts[0] not in ("log", "reports", "api", "manifest"), f"{path} is one of the logs' own")
        require(sha256(read(folder / path)) == hash_of(digest), f"{path} is not what the manifest says")
    lines.end()


def verify(folder):
    log, reports = Log(folder / "log"), Log(folder / "reports")
    require(reports.origin == f"{log.origin}/reports", "the reports log is another's")
    require(log.key.text.split("+")[2] == reports.key.text.split("+")[2], "the logs have two keys")
    seen = set()
    for entry in reports.entries:
        kind, _, digest = entry.decode("ascii", "replace").partition(" ")
        require(kind == "report" and hash_of(digest), "an entry that is no report")
        require(digest not in seen, "a report is logged twice")
        seen.add(digest)
    record = Record(folder / "log", log, reports)
    if (folder / "manifest").exists():
        pages(folder, log, record)
    return log, reports


def main(folders):
    findings = 0
    for folder in folders:
        try:
            log, reports = verify(pathlib.Path(folder))
            print(f"ok: {len(log.entries)} entries of the record, {len(reports.entries)} reports")
        except Finding as finding:
            findings += 1
            print(f"finding: {finding}".replace("\n", " "))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
