// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { udpQuantities } from "./udp-quantities.ts";

let proc: string;
beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), "waggle-udp-"));
  mkdirSync(join(proc, "net"));
  writeFileSync(join(proc, "net/snmp"), "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 191 0 0 212 31\n");
});
afterEach(() => rmSync(proc, { recursive: true }));

it("adds what IPv4 and IPv6 count", () => {
  writeFileSync(
    join(proc, "net/snmp6"),
    "Ip6InReceives                   \t75\nUdp6RcvbufErrors                \t6\nUdp6InDatagrams                 \t3\nUdp6OutDatagrams                \t5\nUdpLite6RcvbufErrors            \t900\n",
  );
  expect(udpQuantities(proc).read()).toEqual(
    new Map([
      ["UdpRcvbufErrors", 37n],
      ["UdpInDatagrams", 194n],
      ["UdpOutDatagrams", 217n],
    ]),
  );
});

it("is IPv4's alone on a host without IPv6, and nothing without either", () => {
  expect(udpQuantities(proc).read()).toEqual(
    new Map([
      ["UdpRcvbufErrors", 31n],
      ["UdpInDatagrams", 191n],
      ["UdpOutDatagrams", 212n],
    ]),
  );
  rmSync(join(proc, "net/snmp"));
  expect(() => udpQuantities(proc).read()).toThrow("ENOENT");
});
