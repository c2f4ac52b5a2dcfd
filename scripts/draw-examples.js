/**
 * Makes examples/pictures/ out of examples/drawings/: each product on a plain studio ground with a soft shadow.
 * To be run after a drawing has changed: node scripts/draw-examples.js
 */
// @ts-check
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

/**
 * @typedef {object} Picture
 * @property {string} name of its drawing
 * @property {'jpg' | 'png' | 'webp'} type
 * @property {string} ground the studio's colour
 * @property {[cx: number, cy: number, rx: number, ry: number]} shadow on the floor, in the drawing's units
 */

/** @type {Picture[]} */
const pictures = [
  { name: 'mug', type: 'jpg', ground: '#f4f1ec', shadow: [450, 856, 300, 34] },
  { name: 'sneaker', type: 'jpg', ground: '#eef1f4', shadow: [610, 768, 500, 28] },
  { name: 'handbag', type: 'jpg', ground: '#f6f4f1', shadow: [500, 872, 420, 34] },
  { name: 'desk-lamp', type: 'jpg', ground: '#eceff2', shadow: [470, 1122, 280, 32] },
  { name: 'armchair', type: 'jpg', ground: '#f3efe9', shadow: [500, 930, 380, 34] },
  { name: 'watch', type: 'webp', ground: '#f2f2f3', shadow: [470, 1130, 190, 36] },
  { name: 'perfume', type: 'png', ground: '#faf6f4', shadow: [450, 1092, 310, 34] },
  { name: 'headphones', type: 'jpg', ground: '#f1efec', shadow: [500, 868, 420, 30] },
  { name: 'teapot', type: 'jpg', ground: '#f5f3ee', shadow: [600, 800, 300, 30] },
  { name: 'backpack', type: 'jpg', ground: '#f0f1ee', shadow: [500, 1106, 380, 36] },
  { name: 'sunglasses', type: 'png', ground: '#f7f7f5', shadow: [600, 586, 470, 26] },
  { name: 'plant-pot', type: 'webp', ground: '#f4f4f0', shadow: [450, 1140, 260, 30] },
  { name: 'camera', type: 'jpg', ground: '#efefed', shadow: [600, 764, 500, 30] },
  { name: 'speaker', type: 'jpg', ground: '#f3f3f5', shadow: [510, 868, 320, 36] },
];

const examples = new URL('../examples/', import.meta.url);

for (const picture of pictures) await draw(picture);

/** @param {Picture} picture */
async function draw({ name, type, ground, shadow }) {
  const drawing = await readFile(new URL(`drawings/${name}.svg`, examples));
  const { width, height } = await sharp(drawing).metadata();
  const studio = Buffer.from(studioOf(width, height, ground, shadow));
  await sharp(studio)
    .composite([{ input: drawing }])
    .toFormat(type, type === 'png' ? { palette: true, effort: 10 } : { quality: 86 })
    .toFile(fileURLToPath(new URL(`pictures/${name}.${type}`, examples)));
}

/**
 * @param {number} width
 * @param {number} height
 * @param {string} ground
 * @param {Picture['shadow']} shadow
 */
function studioOf(width, height, ground, [cx, cy, rx, ry]) {
  const ellipse = (/** @type {string} */ rest) => `<ellipse cx="${cx}" cy="${cy}" rx="${rx}" ${rest}/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
    <filter id="soft" x="-50%" y="-300%" width="200%" height="700%"><feGaussianBlur stdDeviation="26 14"/></filter>
    <radialGradient id="light" cx=".5" cy=".4" r=".8">
      <stop stop-color="#fff" stop-opacity=".6"/><stop offset="1" stop-color="#fff" stop-opacity="0"/>
    </radialGradient>
    <rect width="100%" height="100%" fill="${ground}"/><rect width="100%" height="100%" fill="url(#light)"/>
    ${ellipse(`ry="${ry}" fill="#2b2622" opacity=".24" filter="url(#soft)"`)}
  </svg>`;
}
