// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { QueryAnswer } from "../../lib/api/types";
import { groupName, groupRows } from "./groups";

describe("a group's name", () => {
  it("joins its labels, says unknown for an empty one, and is ~other when all of it is", () => {
    expect(groupName({ process: "nginx", peer: "" }, ["process", "peer"])).toBe("nginx · unknown");
    expect(groupName({ process: "~other", peer: "10.0.0.1" }, ["process", "peer"])).toBe("other · 10.0.0.1");
    expect(groupName({ process: "~other", peer: "~other" }, ["process", "peer"])).toBe("~other");
  });
});

describe("rows of a table", () => {
  it("hold every selection of a group, and null stays null", () => {
    const one = { unit: "ns", labels: { process: "nginx" } };
    const answer = {
      series: [
        { ...one, measure: "rtt", aggregate: "p50", values: [5] },
        { ...one, measure: "rtt", aggregate: "p99", values: [null] },
        { ...one, measure: "rtt", aggregate: "p50", labels: { process: "etcd" }, values: [7] },
      ],
    } as unknown as QueryAnswer;
    const rows = groupRows(answer, ["process"]);
    expect(rows.map(({ labels }) => labels["process"])).toEqual(["nginx", "etcd"]);
    expect(rows[0]?.values.get("rtt p99")).toEqual({ value: null, unit: "ns" });
    expect(rows[1]?.values.get("rtt p50")?.value).toBe(7);
  });
});
