// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { encodeBlock, getSignalOrThrow } from "@waggle/signals";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Collected } from "../window/collector.ts";
import { NetworkDevicesCollector } from "./network-devices.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "waggle-devices-"));
});
afterEach(() => rmSync(root, { recursive: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

const header = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`;

/** The devices of a host: received bytes and packets, sent bytes and packets; errors and drops are 1 to 4 for telling columns apart. */
function devices(counts: Record<string, { index: number; counts: [number, number, number, number] }>): void {
  const lines = Object.entries(counts).map(
    ([
      name,
      {
        counts: [rxBytes, rxPackets, txBytes, txPackets],
      },
    ]) =>
      `${name.padStart(6)}: ${rxBytes} ${rxPackets} ${rxPackets + 1} ${rxPackets + 2} 90 91 92 93 ${txBytes} ${txPackets} ${txPackets + 3} ${txPackets + 4} 94 95 96 97`,
  );
  write("proc/net/dev", `${header}${lines.join("\n")}\n`);
  for (const [name, { index }] of Object.entries(counts)) write(`proc/net/dev_snmp6/${name}`, `ifIndex                         \t${index}\n`);
}

/** The one answer, whose rows must fit the signal. */
function only(collected: readonly Collected[]): Collected {
  expect(collected).toHaveLength(1);
  const [answer] = collected as [Collected];
  encodeBlock(getSignalOrThrow(answer.signal), answer.rows);
  return answer;
}

describe("NetworkDevicesCollector", () => {
  it("says how much each column rose, and nothing of a device that stood still", () => {
    devices({ lo: { index: 1, counts: [10, 1, 10, 1] }, eth0: { index: 2, counts: [1_000, 10, 2_000, 20] } });
    const collector = new NetworkDevicesCollector(root);
    devices({ lo: { index: 1, counts: [10, 1, 10, 1] }, eth0: { index: 2, counts: [1_007, 13, 2_011, 37] } });
    expect(only(collector.collect(100)).rows).toEqual([
      {
        device: "eth0",
        rx_bytes: 7n,
        rx_packets: 3n,
        rx_errors: 3n,
        rx_dropped: 3n,
        tx_bytes: 11n,
        tx_packets: 17n,
        tx_errors: 17n,
        tx_dropped: 17n,
      },
    ]);
    expect(only(collector.collect(100))).toEqual({ signal: "network_devices", rows: [], state: "exact", reason: "" });
  });

  it("counts a device that was made in the window from 0, and one that was renamed or moved from where it stands", () => {
    devices({ eth0: { index: 4, counts: [1_000, 10, 2_000, 20] } });
    const collector = new NetworkDevicesCollector(root);
    devices({
      wan0: { index: 4, counts: [1_001, 11, 2_000, 20] },
      veth7: { index: 9, counts: [70, 7, 0, 0] },
      moved: { index: 3, counts: [5, 5, 5, 5] },
    });
    expect(only(collector.collect(100)).rows).toMatchObject([{ device: "veth7", rx_bytes: 70n, rx_packets: 7n }]);
    devices({ wan0: { index: 4, counts: [1_002, 11, 2_000, 20] }, veth7: { index: 9, counts: [70, 7, 0, 0] } });
    expect(only(collector.collect(100)).rows).toMatchObject([{ device: "wan0", rx_bytes: 1n, rx_packets: 0n }]);
  });

  it("counts a device from 0 as a whole if one of its counters went back", () => {
    devices({ tun0: { index: 2, counts: [1_000, 10, 10, 1] } });
    const collector = new NetworkDevicesCollector(root);
    devices({ tun0: { index: 2, counts: [300, 3, 20, 2] } });
    expect(only(collector.collect(100)).rows).toMatchObject([{ device: "tun0", rx_bytes: 300n, tx_bytes: 20n, rx_errors: 4n }]);
  });

  it("sums up in ~other what has no room, the smallest first", () => {
    const counts = (factor: number) =>
      Object.fromEntries(
        [1, 2, 3, 4].map((n) => [`veth${n}`, { index: n, counts: [n * factor, n * factor, 0, 0] as [number, number, number, number] }]),
      );
    devices(counts(0));
    const collector = new NetworkDevicesCollector(root);
    devices(counts(10));
    expect(only(collector.collect(3)).rows).toMatchObject([
      { device: "veth4", rx_bytes: 40n },
      { device: "veth3", rx_bytes: 30n },
      { device: "~other", rx_bytes: 30n },
    ]);
  });

  it("claims no zeros for a window whose beginning or end it did not see", () => {
    const collector = new NetworkDevicesCollector(root);
    expect(() => collector.collect(100)).toThrow("net/dev");
    devices({ eth0: { index: 4, counts: [1_000, 10, 2_000, 20] } });
    expect(only(collector.collect(100))).toMatchObject({ state: "failed", rows: [] });
    devices({ eth0: { index: 4, counts: [1_005, 10, 2_000, 20] } });
    expect(only(collector.collect(100)).rows).toMatchObject([{ rx_bytes: 5n }]);
  });
});
