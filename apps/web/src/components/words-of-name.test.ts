// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { wordsOfName } from "./words-of-name";

describe("wordsOfName", () => {
  it.each([
    ["UdpRcvbufErrors", ["Udp", "Rcvbuf", "Errors"]],
    ["disk_requests", ["disk_", "requests"]],
    ["on_inet_sock_set_state", ["on_", "inet_", "sock_", "set_", "state"]],
    ["pgmajfault", ["pgmajfault"]],
    ["OutSegs", ["Out", "Segs"]],
    ["waggle-agent", ["waggle-", "agent"]],
    ["~other", ["~other"]],
    ["", [""]],
  ])("of %s are %j", (name, words) => {
    expect(wordsOfName(name)).toEqual(words);
    expect(words.join("")).toBe(name);
  });
});
