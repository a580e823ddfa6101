"""What is there, what is missing and what is odd in raw data, before anything is built from it.

findings     what an examination says
pictures     every image: colours, orientation, damage, duplicates
annotations  COCO's annotation file: crowds, several polygons, faults
comparison   ready-made masks against the policy's
examine      all of it for one source
"""
