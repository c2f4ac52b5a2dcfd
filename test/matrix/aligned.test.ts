import { describeMatrix } from './cells.ts';

describeMatrix('aligned');
