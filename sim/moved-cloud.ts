import { ExportDigest } from '../src/cloud/export/digest.ts'
import { exportTexts } from '../src/cloud/export/export-space.ts'
import { readExport } from '../src/cloud/export/import-space.ts'
import { MemoryLog } from '../src/cloud/log/memory.ts'
import type { Chance } from './chance.ts'
import type { CloudImage } from './cloud-disk.ts'

/** What a cloud's storage would be had each space of it been exported into a file, and imported into a new cloud. */
export async function moveImage(image: CloudImage, chance: Chance): Promise<CloudImage> {
  const place = { clock: { now: () => 0, after: () => () => {} }, random: { next: () => chance.next() } }
  const [source, target] = [new MemoryLog(place, image), new MemoryLog(place)]
  for (const space of image.spaces.keys()) {
    await using copy = await source.copySpace(space)
    await target.importSpace(space, await readExport(bytesOf(exportTexts(copy, new ExportDigest()))))
  }
  return target.snapshot()
}

async function* bytesOf(texts: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  for await (const text of texts) yield Buffer.from(text)
}
