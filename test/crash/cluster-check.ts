import pg from 'pg'

/** What a database says of itself, each wrong line a sentence. */
const WRONG = `
  SELECT format('table %s counts %s live and %s buried, and has %s and %s', t.name, t.live, t.buried, r.live, r.buried)
    FROM tidemark.tables t
    LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE buried_at IS NULL) AS live, count(buried_at) AS buried
      FROM tidemark.records r WHERE r.space = t.space AND r.tbl = t.no) r ON true
    WHERE t.live <> r.live OR t.buried <> r.buried
  UNION ALL SELECT format('a record of version %s past the head %s', max(r.version), s.head)
    FROM tidemark.spaces s JOIN tidemark.records r ON r.space = s.no
    GROUP BY s.no, s.head HAVING max(r.version) > s.head
  UNION ALL SELECT format('%s records of a table or writer that is not there', count(*)) FROM tidemark.records r
    WHERE NOT EXISTS (SELECT FROM tidemark.tables t WHERE t.space = r.space AND t.no = r.tbl)
      OR NOT EXISTS (SELECT FROM tidemark.writers w WHERE w.space = r.space AND w.no = r.writer) HAVING count(*) > 0
  UNION ALL SELECT format('a generation starts at %s, the one before it at %s', g.start, b.start)
    FROM tidemark.generations g JOIN tidemark.generations b ON b.space = g.space AND b.number = g.number - 1
    WHERE g.start < b.start
  UNION ALL SELECT format('%s parts are staged of mutations that are over', count(*)) FROM tidemark.staged HAVING count(*) > 0
`
const COUNTS = `
  SELECT (SELECT sum(live)::int FROM tidemark.tables) AS live, (SELECT sum(buried)::int FROM tidemark.tables) AS buried,
    (SELECT max(head)::int FROM tidemark.spaces) AS head, (SELECT count(*)::int FROM tidemark.generations) AS generations
`

export interface DatabaseCounts {
  readonly live: number
  readonly buried: number
  readonly head: number
  readonly generations: number
}

/** Throws where counts and versions of the log's tables contradict each other, or there are not `rows` live records. */
export async function checkDatabase(url: string, rows: number): Promise<DatabaseCounts> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const wrong = (await client.query<{ readonly format: string }>(WRONG)).rows.map(({ format }) => format)
    const [counts] = (await client.query<DatabaseCounts>(COUNTS)).rows
    if (counts === undefined) throw new Error('the database says nothing')
    if (counts.live !== rows) wrong.push(`${counts.live} live records, ${rows} rows`)
    if (wrong.length > 0) throw new Error(`the database is wrong: ${wrong.join('; ')}`)
    return counts
  } finally {
    await client.end()
  }
}

/** The newest version of any space; null while the database is away. */
export async function headOf(url: string): Promise<number | null> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query<{ readonly head: number | null }>(
      'SELECT max(head)::int AS head FROM tidemark.spaces',
    )
    return rows[0]?.head ?? null
  } catch {
    return null
  } finally {
    await client.end().catch(() => {})
  }
}
