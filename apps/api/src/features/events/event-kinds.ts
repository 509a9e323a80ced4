// SPDX-License-Identifier: Apache-2.0

/** What an event is, and where it is known from. */
export const eventKinds = {
  "host.enrolled": "A machine became a host of the organisation.",
  "host.retired": "A host was taken out of the organisation.",
  "host.reboot": "The host was started anew: its boot id changed.",
  "host.kernel": "The host runs another kernel than before.",
  "agent.version": "The host's agent was replaced by another version.",
  "oom.kill": "The kernel killed processes for want of memory.",
  settings: "Somebody changed what agents are told.",
  change: "Somebody changed something else; `details.action` says what.",
  deploy: "Somebody told of a deploy.",
  note: "Somebody told of something.",
} as const;
export type EventKind = keyof typeof eventKinds;
export const eventKindNames = Object.keys(eventKinds) as [EventKind, ...EventKind[]];

/** What may be told over REST. */
export const toldKinds = ["deploy", "note"] as const satisfies readonly EventKind[];
