/** A deliberate fault: exact texts of product sources and what they become. */
export interface Mutation {
  readonly name: string
  readonly about: string
  readonly edits: readonly Edit[]
}

export interface Edit {
  /** Path below src. */
  readonly file: string
  readonly find: string
  readonly put: string
}

const one = (name: string, about: string, file: string, find: string, put: string): Mutation => ({
  name,
  about,
  edits: [{ file, find, put }],
})

/** Each must be caught by some invariant within a few hundred seeds, or the simulation is blind there. */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'versions-before-commit',
    about: 'The cloud takes versions from a sequence, and transactions commit in any order',
    edits: [
      {
        file: 'cloud/log/memory-rules.ts',
        find: 'lock: (take) => take(),',
        put: 'lock: async () => () => undefined,',
      },
      {
        file: 'cloud/log/memory-rules.ts',
        find: 'headForWriting: ({ head }) => head,',
        put: `headForWriting(space, changes) {
    const sequences = ((globalThis as { sequences?: Map<string, number> }).sequences ??= new Map())
    const from = space.head === 0 ? 0 : Math.max(sequences.get(space.id) ?? 0, space.head)
    sequences.set(space.id, from + changes)
    return from
  },`,
      },
    ],
  },
  one(
    'pull-in-two-snapshots',
    'The records of a pull are read before its head, and commits happen between the two',
    'cloud/log/memory-rules.ts',
    'readSnapshot: async (records, head) => [records(), head()],',
    `async readSnapshot(records, head, pause) {
    const read = records()
    await pause()
    return [read, head()]
  },`,
  ),
  {
    name: 'no-mutation-numbers',
    about: 'The cloud applies whatever push comes, as often as it comes',
    edits: [
      {
        file: 'cloud/log/turns.ts',
        find: 'if (request.mutation === last.number) {',
        put: 'if (request.mutation < 0) {',
      },
      {
        file: 'cloud/log/turns.ts',
        find: "if (request.mutation !== last.number + 1) return { kind: 'forked' }",
        put: '',
      },
    ],
  },
  one(
    'acknowledged-before-the-store',
    'The cursor is saved when a page arrives, before its records are applied',
    'engine/pull.ts',
    '  stageRecords(staging, answer.records)\n',
    `  stageRecords(staging, answer.records)
  await work.store.saveCursor(advanceCursor(staging.cursor, answer.generation, { version: answer.next }), state.generations)
`,
  ),
  one(
    'merge-without-image',
    'A merge takes every local column for a change, whatever was agreed',
    'engine/merge.ts',
    'const kept = row.changed.filter(',
    'const kept = Object.keys(local).filter(',
  ),
  one(
    'conflicts-unnoticed',
    'A column that both sides changed is no conflict: the local value wins silently',
    'engine/merge.ts',
    'const contested = row.changed.filter((column) => {',
    'const contested = row.changed.slice(0, 0).filter((column) => {',
  ),
  {
    name: 'publish-while-in-flight',
    about: 'A cycle begins with a pull although the fate of a push is unknown',
    edits: [
      {
        file: 'engine/machine.ts',
        find: '  if (state.inFlight)\n',
        put: '  if (state.inFlight && state.failures > 1e9)\n',
      },
      {
        file: 'stores/memory/publish.ts',
        find: '(inFlight?.number ?? null) !== (publication.acknowledge?.mutation ?? null)',
        put: 'publication.acknowledge !== undefined && inFlight?.number !== publication.acknowledge.mutation',
      },
    ],
  },
  one(
    'marks-removed-too-early',
    'An acknowledgement removes the mark although the row was edited since it was sent',
    'stores/memory/acknowledge.ts',
    '  if (!differs(table, key)) table.marks.delete(key)\n  else if (',
    '  table.marks.delete(key)\n  if (file.replica.replica === "" && ',
  ),
  one(
    'cascade-on-apply',
    "A remote delete of a parent takes the local children along, as the file's own foreign keys would",
    'stores/memory/apply.ts',
    'if (rowAfter(table, target) === null) table.drop(target.key)',
    `if (rowAfter(table, target) === null) {
    table.drop(target.key)
    const children = table.name === 'items' ? file.tables.get('parts') : undefined
    for (const [key, row] of [...(children?.rows.entries() ?? [])]) {
      if (JSON.stringify([row['item']]) === target.key) children?.drop(key)
    }
  }`,
  ),
  one(
    'parked-rows-forgotten',
    'A record that cannot stand is skipped instead of kept apart',
    'stores/memory/apply.ts',
    '  table.setState(key, { ...agreed, heldAt: null, met: 0, was: null, parked })\n  if (parked.was === null)',
    '  table.setState(key, { ...agreed, heldAt: null, met: 0, was: null, parked: null })\n  if (parked.was === null)',
  ),
  {
    name: 'floor-past-a-hydrate',
    about:
      'Tombstones are collected that a replica which still reads has not seen, and its cursor is not looked at',
    edits: [
      {
        file: 'cloud/log/history.ts',
        find: 'if (version < floor) throw',
        put: 'if (version < floor - 1e9) throw',
      },
      {
        file: 'cloud/log/history.ts',
        find: 'let released = history.head',
        put: 'return history.head\n  let released = history.head',
      },
    ],
  },
  one(
    'resolver-order',
    'The older value wins where the newer should',
    'engine/resolvers.ts',
    'conflict.localAt === time ? replica > conflict.remoteBy : conflict.localAt > time',
    'conflict.localAt === time ? replica > conflict.remoteBy : conflict.localAt < time',
  ),
  one(
    'own-echo-skipped-unseen',
    "A pull leaves out all of the asking identity's own records, also those of another copy of it",
    'cloud/log/memory-page.ts',
    'record.by === request.replica && record.version <= request.cursor.high',
    'record.by === request.replica',
  ),
  one(
    'cursor-without-high',
    'A lost history is looked for by what was read only, not by what was pushed',
    'cloud/log/history.ts',
    'Math.max(cursor.version, cursor.high, cursor.read ?? 0) <= end',
    'Math.max(cursor.version, cursor.read ?? 0) <= end',
  ),
  one(
    'base-ignored',
    'The cloud takes an edit over a version of the row that its author has not seen',
    'cloud/log/decide.ts',
    '  columns.every((column) => ageOf(record, column)[0] <= base)',
    '  columns.every((column) => ageOf(record, column)[0] <= base + 1e9)',
  ),
  one(
    'unseen-fields-untold',
    'An accepted push does not bring back the fields that others set meanwhile',
    'cloud/log/decide.ts',
    '  if (!unseen) return',
    '  if (!unseen || lost === null) return',
  ),
  one(
    'force-tells-nothing',
    'What a forced push overwrote is not put into the inbox',
    'engine/reconcile.ts',
    'notes.push(...forceNotes(change, result.current, result.lost))',
    '',
  ),
  one(
    'first-page-wins',
    'Of two pages with the same row the older record is kept',
    'engine/staging.ts',
    'for (const record of records) staging.records.set(rowId(record), record)',
    'for (const record of records) if (!staging.records.has(rowId(record))) staging.records.set(rowId(record), record)',
  ),
  one(
    'pages-published-alone',
    'Each page of a pull is published by itself',
    'engine/pull.ts',
    'more: answer.has_more && !staging.more }',
    'more: false }',
  ),
  one(
    'push-in-pieces',
    'What one transaction wrote is pushed in several mutations',
    'engine/push.ts',
    ': ATOMIC_ROWS)\n',
    ': work.batch.rows)\n',
  ),
  one(
    'sweep-takes-unsent-rows',
    'After an expired cursor everything goes that the cloud lacks, unsent edits too',
    'stores/memory/hydrate.ts',
    'state.version > head || !isAgreed(table, key)',
    'state.version > head',
  ),
  one(
    'nothing-offered-again',
    'After a lost history the rows that the cloud lost are not offered',
    'stores/memory/rebase.ts',
    '  if (!table.marks.has(key)) table.marks.set(key, Math.max(1, at))',
    '  void [table, key, at]',
  ),
  one(
    'blocked-without-a-probe',
    'A blocked replica never looks again whether it still is',
    'engine/machine.ts',
    "reason: code }, effects: [{ type: 'timer', ms }] }\n  }\n  const retryAfterMs",
    'reason: code }, effects: [] }\n  }\n  const retryAfterMs',
  ),
  one(
    'delete-beats-edit',
    'A row that was edited here and deleted there goes, without a note',
    'engine/merge.ts',
    "return decided(row, record, { kind: 'keep', fields: row.fields }, notes)",
    "return decided(row, record, { kind: 'take' }, [])",
  ),
  one(
    'cancel-empties-a-publish',
    'A pause in the middle of a publish empties what it was about to apply',
    'engine/engine.ts',
    'this.#work.staging = createStaging()',
    'clearStaging(this.#work.staging)',
  ),
  one(
    'history-unconfirmed',
    'A first read goes on in a cloud that was restored meanwhile',
    'engine/hydrate.ts',
    '      await confirmHistory(work, state, head, signal)\n',
    '',
  ),
  one(
    'answer-unheld',
    'A row that came with the answer of a push does not count as held',
    'engine/push.ts',
    "return Math.max(result.status === 'ok' ? result.version : 0, result.current?.version ?? 0)",
    "return result.status === 'ok' ? result.version : 0",
  ),
  one(
    'known-rows-unseen',
    'A sweep takes rows that came while they were edited',
    'engine/reconcile.ts',
    '    else clean.push(record)\n  }\n  return { records: clean',
    '  }\n  return { records: clean',
  ),
  one(
    'conflicts-for-ever',
    'A row whose decided state cannot stand is pushed again and again',
    'engine/push.ts',
    'exhausted: mutation.force && work.forcedRounds >= MAX_FORCED_ROUNDS',
    'exhausted: false',
  ),
]
