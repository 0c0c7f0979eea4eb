import type { Fields } from '../../kernel/values.ts'
import type { PushResult } from '../../protocol/push.ts'
import type { Change, WireRecord } from '../../protocol/records.ts'

/**
 * The answer of a replica's last mutation, as it is kept for a repeat (I3): statuses and versions, without the
 * records, which are read again. A repeated answer may thus show a row as others have left it since; that is
 * what a pull would bring next.
 *
 *   [0, version, n]              n times ok, versions counting up
 *   [1, version, table, key]     ok with `current`; a fifth item is `lost`
 *   [2, table, key]              conflict
 *   [3, table, key, index, by]   taken
 *   [4, code, message]           rejected
 *   [5, version]                 ok and `forgotten`
 */
type Kept =
  | [status: 0, version: number, count: number]
  | readonly [1, number, string, string]
  | readonly [1, number, string, string, Fields]
  | readonly [2, string, string]
  | readonly [3, string, string, string, string]
  | readonly [4, string, string]
  | readonly [5, number]

export function keepAnswer(results: readonly PushResult[], changes: readonly Change[]): string {
  const kept: Kept[] = []
  for (const [at, result] of results.entries()) {
    if (result.status === 'ok' && result.current === undefined && result.forgotten !== true) {
      keepVersion(kept, result.version)
      continue
    }
    const { table, key } = changes[at] as Change
    kept.push(keepResult(result, table, key))
  }
  return JSON.stringify(kept)
}

function keepVersion(kept: Kept[], version: number): void {
  const before = kept.at(-1)
  if (before?.[0] === 0 && before[1] + before[2] === version) before[2]++
  else kept.push([0, version, 1])
}

/** A kept answer with other versions, for a log that keeps them in another way. */
export function moveKeptVersions(kept: string, move: (version: number) => number): string {
  const moved: Kept[] = []
  for (const item of JSON.parse(kept) as readonly Kept[]) {
    if (item[0] === 0) {
      for (let at = 0; at < item[2]; at++) keepVersion(moved, move(item[1] + at))
    } else if (item[0] === 1) {
      const [, version, table, key, lost] = item
      moved.push(lost === undefined ? [1, move(version), table, key] : [1, move(version), table, key, lost])
    } else moved.push(item[0] === 5 ? [5, move(item[1])] : item)
  }
  return JSON.stringify(moved)
}

function keepResult(result: PushResult, table: string, key: string): Kept {
  switch (result.status) {
    case 'ok':
      if (result.forgotten === true) return [5, result.version]
      if (result.current === undefined) return [0, result.version, 1]
      return result.lost === undefined
        ? [1, result.version, table, key]
        : [1, result.version, table, key, result.lost]
    case 'conflict':
      return [2, table, key]
    case 'taken':
      return [3, table, key, result.index, result.by]
    case 'rejected':
      return [4, result.code, result.message]
  }
}

export function repeatAnswer(
  kept: string,
  read: (table: string, key: string) => WireRecord | null,
): readonly PushResult[] {
  return (JSON.parse(kept) as readonly Kept[]).flatMap((item): readonly PushResult[] => {
    switch (item[0]) {
      case 0:
        return Array.from({ length: item[2] }, (_, at) => ({ status: 'ok', version: item[1] + at }))
      case 1: {
        const current = read(item[2], item[3])
        const lost = item[4]
        return [
          {
            status: 'ok',
            version: item[1],
            ...(current === null ? {} : { current }),
            ...(lost === undefined ? {} : { lost }),
          },
        ]
      }
      case 2:
        return [{ status: 'conflict', current: read(item[1], item[2]) }]
      case 3:
        return [{ status: 'taken', index: item[3], by: item[4], current: read(item[1], item[2]) }]
      case 4:
        return [{ status: 'rejected', code: item[1], message: item[2] }]
      case 5:
        return [{ status: 'ok', version: item[1], forgotten: true }]
    }
  })
}
