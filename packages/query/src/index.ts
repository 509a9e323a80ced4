// SPDX-License-Identifier: Apache-2.0
export { type Amount, parseAmount } from "./amount.ts";
export { applicable, formatTerm, literal, splitTerms, wildcard, withoutTerm, withTerm } from "./edit.ts";
export {
  type HostAttribute,
  type HostFacts,
  hostAttributes,
  hostValue,
  isHostKey,
  isTagKey,
  matchesHost,
  TAG_KEY_FORM,
  TAG_PREFIX,
  TAGS_MAX,
  tagKeysOf,
  tagName,
  tagProblem,
} from "./host-keys.ts";
export { globToLike, matchesFilter } from "./match.ts";
export { editDistance, nearestName } from "./nearest-name.ts";
export {
  COMPARISONS_MAX,
  type Comparison,
  keysOf,
  type ParsedWhere,
  parseWhere,
  type ResolvedWhere,
  resolveKey,
  resolveTerms,
  type Vocabulary,
} from "./resolve.ts";
export {
  type Filter,
  isComparison,
  type LocatedTerm,
  type Operator,
  type Pattern,
  type Problem,
  type RawComparison,
  readTerms,
  type Span,
  type Term,
  WHERE_LENGTH_MAX,
} from "./terms.ts";
