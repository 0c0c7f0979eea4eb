import { ExportDigest } from '../../cloud/export/digest.ts'
import { exportTexts, watchCopy } from '../../cloud/export/export-space.ts'
import { writeExportFile } from '../../cloud/export/files.ts'
import { openCloudSpaces } from '../../cloud/server/cloud-spaces.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import type { CliContext } from '../context.ts'
import { countOf, formatCount, startProgress } from '../progress.ts'
import { cloudPlace, type PlaceOptions } from './directory.ts'

export interface MoveOptions extends PlaceOptions {
  readonly account: string
  readonly space: string
}

/** The name of standard input and output. */
export const PIPE = '-'

/** tidemark cloud export: a space into a file, or a pipe. Whoever serves the cloud goes on. */
export async function exportSpace(context: CliContext, file: string, options: MoveOptions): Promise<void> {
  const { output, signal } = context
  const { account, space } = options
  if (file === PIPE && output.json)
    throw new TidemarkError('bad_usage', 'with - the export itself is printed: no --json')
  await using spaces = await openCloudSpaces(cloudPlace(context, options), context.clock)
  const id = await spaces.directory.findSpace(account, space)
  if (id === null) {
    const why = `The account ${account} has no space ${space} here: see tidemark cloud spaces`
    throw new TidemarkError('space_not_found', why)
  }
  await using copy = await spaces.copySpace(id)
  const digest = new ExportDigest()
  // A pipe has standard output for itself.
  const progress = file === PIPE ? null : startProgress(output, 'Exporting', context.clock)
  const watched = watchCopy(copy, (records) => {
    if (signal.aborted) throw new TidemarkError('aborted')
    progress?.update(records, copy.space.records)
  })
  const texts = exportTexts(watched, digest)
  if (file === PIPE) await pipe(context, texts)
  else await writeExportFile(file, texts, signal)
  const { head, epoch } = copy.space
  const { records, replicas, hash } = digest.end()
  const lines = [
    `${countOf(records, 'record')} and ${countOf(replicas, 'replica')} of ${space}, up to version ${formatCount(head)}.`,
    `hash ${hash}`,
  ]
  if (progress === null) return lines.forEach((line) => !output.quiet && output.warn(line))
  const { seconds } = progress.end(records)
  output.result({ account, space, file, epoch, head, records, replicas, hash, seconds }, lines)
}

async function pipe({ out, signal }: CliContext, texts: AsyncIterable<string>): Promise<void> {
  for await (const text of texts) {
    if (signal.aborted) throw new TidemarkError('aborted')
    if (out.write(text) === false && out.once !== undefined)
      await new Promise<void>((resolve) => out.once?.('drain', resolve))
  }
}
