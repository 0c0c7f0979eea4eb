import type { Command } from 'commander'

/** Groups that do something by themselves. */
const ACTING_GROUPS = new Set(['cloud', 'daemon'])

export interface Leaf {
  /** `sync status` */
  readonly path: string
  readonly command: Command
}

/** Commands that do something. */
export function listLeaves(command: Command, path = ''): readonly Leaf[] {
  return command.commands.flatMap((child) => {
    const below = path === '' ? child.name() : `${path} ${child.name()}`
    const isGroup = child.commands.length > 0 && !ACTING_GROUPS.has(below)
    return [...(isGroup ? [] : [{ path: below, command: child }]), ...listLeaves(child, below)]
  })
}
