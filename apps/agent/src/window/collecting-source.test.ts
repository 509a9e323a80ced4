// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { CollectingSource } from "./collecting-source.ts";
import type { Collector } from "./collector.ts";
import { UnavailableSource } from "./unavailable-source.ts";

const load: Collector = {
  signals: ["host_load"],
  collect: (rowsMax) => [{ signal: "host_load", rows: [{ rowsMax }], state: "exact", reason: "" }],
};
const broken: Collector = {
  signals: ["energy", "network_devices"],
  collect: () => {
    throw new Error("/proc/net/dev: EACCES");
  },
};

describe("CollectingSource", () => {
  it("adds rows and coverage of each collector to those of its source", async () => {
    const source = new CollectingSource(new UnavailableSource("failed", "no BPF"), [load], 100);
    const data = await source.readWindow(40);
    expect([...data.rows]).toEqual([["host_load", [{ rowsMax: 40 }]]]);
    expect(data.coverage.filter(({ signal }) => signal === "host_load")).toEqual([{ signal: "host_load", state: "exact", reason: "" }]);
    expect(data.coverage).toContainEqual({ signal: "tcp_rtt", state: "failed", reason: "no BPF" });
    expect([...(await source.readWindow()).rows]).toEqual([["host_load", [{ rowsMax: 100 }]]]);
  });

  it("says failed of the signals of a collector that throws, and asks the others all the same", async () => {
    const source = new CollectingSource(new UnavailableSource("failed", "no BPF"), [broken, load], 100);
    const data = await source.readWindow();
    expect(data.coverage).toContainEqual({ signal: "energy", state: "failed", reason: "/proc/net/dev: EACCES" });
    expect(data.coverage).toContainEqual({ signal: "network_devices", state: "failed", reason: "/proc/net/dev: EACCES" });
    expect([...data.rows].map(([signal]) => signal)).toEqual(["host_load"]);
  });
});
