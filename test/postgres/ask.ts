import pg from 'pg'

/** The column `n` of what a statement answers, on a connection of its own. */
export async function askNumbers(url: string, sql: string): Promise<readonly unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<{ readonly n: unknown }>(sql)).rows.map(({ n }) => n)
  } finally {
    await client.end()
  }
}
