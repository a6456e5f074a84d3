<?php
// A table.
