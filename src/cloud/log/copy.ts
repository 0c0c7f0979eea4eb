import type { SchemaTable } from '../../protocol/schema.ts'
import type { History } from './history.ts'
import type { Standing } from './standing.ts'

/**
 * How a whole space leaves a log and comes into another one, of either driver (docs/decisions/0006-moving-a-space.md).
 * What lies between the two, a file or nothing, is not the log's: see `cloud/export`.
 */
export interface SpaceCopies {
  /**
   * The space as it is at one moment, whatever is written meanwhile; holds that moment until it is disposed of.
   * Rejects with `space_not_found`.
   */
  copySpace(space: string): Promise<OpenCopy>

  /**
   * Makes the space from a copy, with a new generation at its head: everything its history, its records and its
   * replicas were. Nothing at all where this rejects, or never ends: with `space_not_empty` when the space is there and
   * has given a version; with `unprocessable` when two records have one place or hold the same unique value; with
   * whatever the copy throws. The log takes the copy's word for everything else. Others may have to wait until it is
   * over.
   */
  importSpace(space: string, copy: SpaceCopy): Promise<void>
}

export interface SpaceCopy {
  readonly space: CopiedSpace
  /** To be read once: all the records in the order of versions, then all the replicas in the order of ids. */
  pages(): AsyncIterable<CopyPage>
}

export interface OpenCopy extends SpaceCopy, AsyncDisposable {}

/** A space without its records and replicas, of which it has so many (tombstones are records). */
export interface CopiedSpace extends History {
  readonly schema: number
  readonly tables: readonly SchemaTable[]
  readonly records: number
  readonly replicas: number
}

/** A few of either, bounded by what they hold. */
export interface CopyPage {
  readonly records: readonly CopiedRecord[]
  readonly replicas: readonly CopiedReplica[]
}

export interface CopiedRecord extends Standing {
  /** Of a tombstone: milliseconds at which the cloud learned of the delete; null for a live row. */
  readonly buriedAt: number | null
}

/** What is staged is not copied: the replica sends it again. */
export interface CopiedReplica {
  readonly id: string
  /** Its last mutation, 0 where there was none. */
  readonly mutation: number
  readonly hashes: readonly string[]
  /** The kept answer (`kept-answer.ts`). */
  readonly answer: string
  readonly acked: number | null
  /** Milliseconds. */
  readonly seen: number
}

/** What a list of spaces says of each. */
export interface SpaceCounts {
  readonly epoch: string
  readonly head: number
  readonly floor: number
  readonly records: number
  readonly tombstones: number
  readonly replicas: number
}

/** Records of a page, and the characters of their fields after which it ends early. */
export const COPY_PAGE_RECORDS = 500
export const COPY_PAGE_CHARS = 1024 * 1024
