// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { Signal } from "../../lib/api/types";
import { chosen, tableSelections, toggled } from "./choice";

const nothing = { measure: "", aggregate: "", by: [] };

function signal(kind: Signal["kind"], measures: Signal["measures"]): Signal {
  return {
    name: "s",
    kind,
    family: "tcp",
    unit: "ns",
    question: "",
    help: "",
    dimensions: [
      { name: "process", label: "process", help: "", values: null },
      { name: "peer", label: "peer", help: "", values: null },
      { name: "port", label: "port", help: "", values: null },
    ],
    measures,
    hooks: [],
    caveats: [],
    coverage: { hosts: 0, reporting: 0, states: {} },
  };
}

const histogram = signal("histogram", [
  { name: "rtt", unit: "ns", kind: "distribution", aggregates: ["p50", "p99", "heatmap"], help: "" },
  { name: "count", unit: "1", kind: "sum", aggregates: ["sum", "rate"], help: "" },
  { name: "max", unit: "ns", kind: "maximum", aggregates: ["max"], help: "" },
]);
const gauge = signal("gauge", [{ name: "load", unit: "milli", kind: "gauge", aggregates: ["last", "min", "max", "avg"], help: "" }]);

describe("what is drawn of a signal", () => {
  it("is the distribution, the rate or the newest value where the URL says nothing", () => {
    expect(chosen(histogram, nothing)).toEqual({ measure: "rtt", aggregate: "heatmap", by: [] });
    expect(chosen(histogram, { ...nothing, measure: "count" })?.aggregate).toBe("rate");
    expect(chosen(gauge, nothing)?.aggregate).toBe("last");
  });

  it("is what the URL says as far as the signal has it", () => {
    const text = { measure: "rtt", aggregate: "p99", by: ["peer", "errno", "host"] };
    expect(chosen(histogram, text)).toEqual({ measure: "rtt", aggregate: "p99", by: ["peer", "host"] });
    expect(chosen(histogram, { ...text, measure: "segments", aggregate: "avg" })).toEqual({
      measure: "rtt",
      aggregate: "heatmap",
      by: ["peer", "host"],
    });
  });

  it("is nothing for a signal without measures", () => {
    expect(chosen(signal("counter", []), nothing)).toBeNull();
  });
});

describe("grouping", () => {
  it("takes a dimension in and out, and at three the oldest makes room", () => {
    expect(toggled(["host"], "peer")).toEqual(["host", "peer"]);
    expect(toggled(["host", "peer"], "host")).toEqual(["peer"]);
    expect(toggled(["host", "peer", "port"], "process")).toEqual(["peer", "port", "process"]);
  });
});

describe("the table", () => {
  it("has each measure in the ways that one number can stand for a range", () => {
    expect(tableSelections(histogram).map(({ aggregate }) => aggregate)).toEqual(["count", "p50", "p99", "max"]);
    expect(tableSelections(gauge).map(({ aggregate }) => aggregate)).toEqual(["last", "max"]);
  });
});
