// SPDX-License-Identifier: Apache-2.0
import type { EncodedAnswer, OwnFormats } from "../formats/media-type.ts";
import { type ExportedProfile, toCollapsed, toPprof, toSpeedscope } from "./exports.ts";
import type { ProfileAnswer } from "./profile-answer.schemas.ts";

/** A selection's stacks for other tools, and what an answer says about itself. */
export interface ProfileExport {
  readonly meta: Omit<ProfileAnswer["meta"], "baseline">;
  readonly profile: ExportedProfile;
}

/** What profiles can be had as besides rows: files of other tools, with all stacks. */
export const profileFormats = {
  collapsed: { mediaType: "text/plain", encode: ({ meta, profile }: ProfileExport) => ({ body: toCollapsed(profile), summary: summaryOf(meta) }) },
  pprof: {
    mediaType: "application/vnd.google.protobuf",
    aliases: ["application/x-protobuf", "application/protobuf"],
    encode: (answer: ProfileExport) => file(answer, toPprof(answer.profile), "pb.gz"),
  },
  speedscope: {
    // There is no registered type; its files are told apart by `$schema`.
    mediaType: "application/vnd.speedscope+json",
    encode: (answer: ProfileExport) => file(answer, JSON.stringify(toSpeedscope(answer.profile)), "speedscope.json"),
  },
} as const satisfies OwnFormats;

function file({ meta, profile }: ProfileExport, body: string | Uint8Array, ending: string): EncodedAnswer {
  const begin = new Date(profile.fromMs).toISOString().replace(/[:.]/g, "-");
  return { body, summary: summaryOf(meta), fileName: `${profile.name}-${begin}.${ending}` };
}

/** What an answer says about itself, without what grows with the fleet. */
export function summaryOf(meta: ProfileExport["meta"] & { readonly baseline?: ProfileAnswer["meta"]["baseline"] }): Record<string, unknown> {
  const short = ({ coverage: { missing: _, ...coverage }, ...rest }: ProfileAnswer["meta"]["selection"]) => ({ ...rest, coverage });
  const { selection, baseline } = meta;
  return { ...meta, selection: short(selection), ...(baseline === undefined || baseline === null ? {} : { baseline: short(baseline) }) };
}
