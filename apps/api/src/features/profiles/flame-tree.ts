// SPDX-License-Identifier: Apache-2.0

/** What one selection has of one stack. */
export interface StackValue {
  /** From the outermost frame to the innermost. */
  readonly frames: readonly string[];
  readonly value: number;
  /** Of the baseline; 0 where there is none. */
  readonly baseline: number;
}

/** Stands for what is not shown below a node. */
export const HIDDEN = "~other";

/** Nodes in pre-order, column by column; node 0 is the root. */
export interface FlameNodes {
  /** Every name once. */
  readonly names: readonly string[];
  /** Index into the nodes; -1 for the root. */
  readonly parents: readonly number[];
  /** Index into `names`. */
  readonly nameIndexes: readonly number[];
  readonly self: readonly number[];
  readonly total: readonly number[];
  readonly baselineSelf: readonly number[];
  readonly baselineTotal: readonly number[];
  /** How many nodes a `~other` stands for; 0 = an ordinary node. */
  readonly hidden: readonly number[];
}

interface Node {
  readonly name: string;
  readonly parent: Node | undefined;
  readonly children: Map<string, Node>;
  self: number;
  total: number;
  baselineSelf: number;
  baselineTotal: number;
}

const makeNode = (name: string, parent: Node | undefined): Node => ({
  name,
  parent,
  children: new Map(),
  self: 0,
  total: 0,
  baselineSelf: 0,
  baselineTotal: 0,
});

/**
 * A call tree of stacks, cut to the nodes with the largest share of either selection. What is cut is summed below its parent, so that self values add up to the
 * root's total whatever was cut.
 * @param nodesMax of nodes that are shown as themselves
 * @param focus frames from the root; the tree is what lies below them. undefined: all of it
 */
export function flameTree(stacks: readonly StackValue[], nodesMax: number, focus: readonly string[] = []): FlameNodes {
  const root = makeNode(focus.at(-1) ?? "", undefined);
  for (const { frames, value, baseline } of stacks) {
    if (!focus.every((frame, index) => frames[index] === frame)) continue;
    let node = root;
    node.total += value;
    node.baselineTotal += baseline;
    for (const frame of frames.slice(focus.length)) {
      let child = node.children.get(frame);
      if (child === undefined) {
        child = makeNode(frame, node);
        node.children.set(frame, child);
      }
      node = child;
      node.total += value;
      node.baselineTotal += baseline;
    }
    node.self += value;
    node.baselineSelf += baseline;
  }
  return toColumns(root, largest(root, nodesMax));
}

/** No child's share is larger than its parent's, so every kept node's ancestors are kept. */
function largest(root: Node, nodesMax: number): ReadonlySet<Node> {
  const share = (node: Node): number => Math.max(node.total / (root.total || 1), node.baselineTotal / (root.baselineTotal || 1));
  const all: { readonly node: Node; readonly share: number }[] = [];
  const waiting = [root];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    all.push({ node, share: share(node) });
    waiting.push(...node.children.values());
  }
  // Stable: of equals the parent, which was found first, stays before its child.
  all.sort((x, y) => y.share - x.share);
  return new Set(all.slice(0, nodesMax).map(({ node }) => node));
}

function toColumns(root: Node, kept: ReadonlySet<Node>): FlameNodes {
  const names = new Map<string, number>();
  const columns = {
    parents: [] as number[],
    nameIndexes: [] as number[],
    self: [] as number[],
    total: [] as number[],
    baselineSelf: [] as number[],
    baselineTotal: [] as number[],
    hidden: [] as number[],
  };
  const push = (parent: number, name: string, values: Pick<Node, "self" | "total" | "baselineSelf" | "baselineTotal">, hidden: number): number => {
    let index = names.get(name);
    if (index === undefined) {
      index = names.size;
      names.set(name, index);
    }
    columns.hidden.push(hidden);
    columns.self.push(values.self);
    columns.total.push(values.total);
    columns.baselineSelf.push(values.baselineSelf);
    columns.baselineTotal.push(values.baselineTotal);
    columns.nameIndexes.push(index);
    return columns.parents.push(parent) - 1;
  };
  const waiting: { readonly node: Node; readonly parent: number }[] = [{ node: root, parent: -1 }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const index = push(next.parent, next.node.name, next.node, 0);
    const children = [...next.node.children.values()].sort(
      (x, y) => y.total - x.total || y.baselineTotal - x.baselineTotal || (x.name < y.name ? -1 : 1),
    );
    const cut = children.filter((child) => !kept.has(child));
    if (cut.length > 0) {
      const total = cut.reduce((sum, child) => sum + child.total, 0);
      const baselineTotal = cut.reduce((sum, child) => sum + child.baselineTotal, 0);
      const count = cut.reduce((sum, child) => sum + sizeOf(child), 0);
      push(index, HIDDEN, { self: total, total, baselineSelf: baselineTotal, baselineTotal }, count);
    }
    // The last one pushed comes first.
    for (const child of children.filter((one) => kept.has(one)).toReversed()) waiting.push({ node: child, parent: index });
  }
  return { names: [...names.keys()], ...columns };
}

function sizeOf(node: Node): number {
  let count = 0;
  const waiting = [node];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    count++;
    waiting.push(...next.children.values());
  }
  return count;
}
