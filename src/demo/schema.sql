-- Tables of the demo shop. One file for both products: what only MariaDB has stands in /*M! … */, what only
-- MySQL 8 and later has in /*!80013 … */ (which MariaDB ignores).
SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
SET SESSION foreign_key_checks = 0;

CREATE DATABASE IF NOT EXISTS `shop` DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
USE `shop`;

CREATE TABLE `countries` (
  `code` CHAR(2) NOT NULL,
  `name` VARCHAR(60) NOT NULL,
  `in_eu` BOOL NOT NULL DEFAULT FALSE,
  PRIMARY KEY (`code`)
) ENGINE=InnoDB DEFAULT CHARACTER SET latin1 COLLATE latin1_swedish_ci COMMENT='the old shop''s table, still latin1';

-- customers and addresses point at each other.
CREATE TABLE `customers` (
  `id` INT UNSIGNED NOT NULL AUTO_INCREMENT,
  `email` VARCHAR(190) NOT NULL,
  `first_name` VARCHAR(60) NOT NULL,
  `last_name` VARCHAR(60) NOT NULL,
  `display_name` VARCHAR(130) GENERATED ALWAYS AS (CONCAT(`first_name`, ' ', `last_name`)) VIRTUAL,
  `phone` VARCHAR(24) DEFAULT NULL,
  `birthday` DATE NOT NULL DEFAULT '0000-00-00' COMMENT 'zero: not told',
  `newsletter` BOOL NOT NULL DEFAULT FALSE,
  `tier` ENUM('new','regular','gold','trade, wholesale') NOT NULL DEFAULT 'new',
  `interests` SET('home','garden','books','toys','tools','sports') NOT NULL DEFAULT '',
  `default_address` INT UNSIGNED DEFAULT NULL,
  `preferences` JSON DEFAULT NULL,
  `password_hash` VARBINARY(32) NOT NULL,
  `credit` DECIMAL(12,2) NOT NULL DEFAULT 0.00,
  `created` TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  `updated` DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
  PRIMARY KEY (`id`),
  UNIQUE KEY `email` (`email`),
  KEY `by_name` (`last_name`, `first_name`),
  KEY `default_address` (`default_address`),
  CONSTRAINT `customers_default_address` FOREIGN KEY (`default_address`) REFERENCES `addresses` (`id`) ON DELETE SET NULL
) ENGINE=InnoDB;

CREATE TABLE `addresses` (
  `id` INT UNSIGNED NOT NULL AUTO_INCREMENT,
  `customer` INT UNSIGNED NOT NULL,
  `street` VARCHAR(120) NOT NULL,
  `city` VARCHAR(80) NOT NULL,
  `postcode` VARCHAR(12) NOT NULL,
  `country` CHAR(2) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL,
  `latitude` DOUBLE DEFAULT NULL,
  `longitude` DOUBLE DEFAULT NULL,
  `delivery_note` TEXT,
  PRIMARY KEY (`id`),
  KEY `customer` (`customer`),
  KEY `country` (`country`, `postcode`),
  KEY `note_start` (`delivery_note`(20)),
  CONSTRAINT `addresses_customer` FOREIGN KEY (`customer`) REFERENCES `customers` (`id`) ON DELETE CASCADE,
  CONSTRAINT `addresses_country` FOREIGN KEY (`country`) REFERENCES `countries` (`code`)
) ENGINE=InnoDB;

CREATE TABLE `categories` (
  `id` SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT,
  `parent` SMALLINT UNSIGNED DEFAULT NULL,
  `name` VARCHAR(80) NOT NULL,
  `position` TINYINT UNSIGNED NOT NULL DEFAULT 0,
  PRIMARY KEY (`id`),
  UNIQUE KEY `name_in_parent` (`parent`, `name`),
  CONSTRAINT `categories_parent` FOREIGN KEY (`parent`) REFERENCES `categories` (`id`)
) ENGINE=InnoDB;

CREATE TABLE `products` (
  `id` MEDIUMINT UNSIGNED NOT NULL AUTO_INCREMENT,
  `sku` CHAR(12) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  `category` SMALLINT UNSIGNED NOT NULL,
  `name` VARCHAR(160) NOT NULL,
  `description` TEXT NOT NULL,
  `price` DECIMAL(10,2) NOT NULL,
  `vat` DECIMAL(4,3) NOT NULL DEFAULT 0.190,
  `price_with_vat` DECIMAL(10,2) GENERATED ALWAYS AS (ROUND(`price` * (1 + `vat`), 2)) STORED,
  `weight_kg` FLOAT DEFAULT NULL,
  `rating` DOUBLE DEFAULT NULL,
  `flags` BIT(12) NOT NULL DEFAULT b'0',
  `attributes` JSON NOT NULL,
  `season` YEAR DEFAULT NULL,
  `discontinued` BOOL NOT NULL DEFAULT FALSE,
  PRIMARY KEY (`id`),
  UNIQUE KEY `sku` (`sku`),
  KEY `category` (`category`, `discontinued`, `price`),
  KEY `price_with_vat` (`price_with_vat`),
  FULLTEXT KEY `words` (`name`, `description`),
  CONSTRAINT `products_category` FOREIGN KEY (`category`) REFERENCES `categories` (`id`)
) ENGINE=InnoDB;

CREATE TABLE `product_images` (
  `product` MEDIUMINT UNSIGNED NOT NULL,
  `position` TINYINT UNSIGNED NOT NULL,
  `sha256` VARBINARY(32) NOT NULL,
  `thumbnail` BLOB NOT NULL,
  PRIMARY KEY (`product`, `position`),
  KEY `sha256` (`sha256`(8)),
  CONSTRAINT `product_images_product` FOREIGN KEY (`product`) REFERENCES `products` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE `reviews` (
  `id` INT UNSIGNED NOT NULL AUTO_INCREMENT,
  `product` MEDIUMINT UNSIGNED NOT NULL,
  `customer` INT UNSIGNED NOT NULL,
  `stars` TINYINT NOT NULL,
  `title` VARCHAR(120) NOT NULL,
  `body` TEXT NOT NULL,
  `written` DATETIME NOT NULL,
  PRIMARY KEY (`id`),
  KEY `product` (`product`, `written`),
  KEY `customer` (`customer`),
  CONSTRAINT `reviews_product` FOREIGN KEY (`product`) REFERENCES `products` (`id`),
  CONSTRAINT `reviews_customer` FOREIGN KEY (`customer`) REFERENCES `customers` (`id`),
  CONSTRAINT `stars_range` CHECK (`stars` BETWEEN 1 AND 5)
) ENGINE=InnoDB;

CREATE TABLE `orders` (
  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  `customer` INT UNSIGNED NOT NULL,
  `ship_to` INT UNSIGNED NOT NULL,
  `placed` DATETIME(6) NOT NULL,
  `status` ENUM('open','paid','shipped','returned','cancelled') NOT NULL DEFAULT 'open',
  `total` DECIMAL(12,2) NOT NULL,
  `currency` CHAR(3) NOT NULL DEFAULT 'EUR',
  `delivery_at` TIME(3) DEFAULT NULL,
  `shipped_on` DATE NOT NULL DEFAULT '0000-00-00',
  `note` VARCHAR(255) DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `customer` (`customer`, `placed`),
  KEY `ship_to` (`ship_to`),
  KEY `placed` (`placed`),
  KEY `status` (`status`, `shipped_on`),
  CONSTRAINT `orders_customer` FOREIGN KEY (`customer`) REFERENCES `customers` (`id`),
  CONSTRAINT `orders_ship_to` FOREIGN KEY (`ship_to`) REFERENCES `addresses` (`id`)
) ENGINE=InnoDB;

CREATE TABLE `order_lines` (
  `order_id` BIGINT UNSIGNED NOT NULL,
  `line` SMALLINT UNSIGNED NOT NULL,
  `product` MEDIUMINT UNSIGNED NOT NULL,
  `quantity` SMALLINT UNSIGNED NOT NULL DEFAULT 1,
  `unit_price` DECIMAL(10,2) NOT NULL,
  `line_total` DECIMAL(12,2) GENERATED ALWAYS AS (`quantity` * `unit_price`) STORED,
  `engraving` VARCHAR(60) DEFAULT NULL,
  PRIMARY KEY (`order_id`, `line`),
  KEY `product` (`product`),
  CONSTRAINT `order_lines_order` FOREIGN KEY (`order_id`) REFERENCES `orders` (`id`) ON DELETE CASCADE,
  CONSTRAINT `order_lines_product` FOREIGN KEY (`product`) REFERENCES `products` (`id`)
) ENGINE=InnoDB;

CREATE TABLE `payments` (
  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  `order_id` BIGINT UNSIGNED NOT NULL,
  `method` ENUM('card','transfer','wallet','voucher') NOT NULL,
  `amount` DECIMAL(12,2) NOT NULL,
  `reference` CHAR(20) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL,
  `received` TIMESTAMP(3) NULL DEFAULT NULL,
  `answer` JSON DEFAULT NULL COMMENT 'what the payment provider said',
  PRIMARY KEY (`id`),
  UNIQUE KEY `reference` (`reference`),
  KEY `order_id` (`order_id`),
  KEY `received` (`received`),
  CONSTRAINT `payments_order` FOREIGN KEY (`order_id`) REFERENCES `orders` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE `stock_movements` (
  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  `moved_on` DATE NOT NULL,
  `product` MEDIUMINT UNSIGNED NOT NULL,
  `change_by` INT NOT NULL,
  `reason` VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL,
  PRIMARY KEY (`id`, `moved_on`),
  KEY `product` (`product`, `moved_on`)
) ENGINE=InnoDB
PARTITION BY RANGE COLUMNS (`moved_on`) (
  PARTITION `before_2025` VALUES LESS THAN ('2025-01-01'),
  PARTITION `in_2025` VALUES LESS THAN ('2026-01-01'),
  PARTITION `in_2026` VALUES LESS THAN ('2027-01-01'),
  PARTITION `later` VALUES LESS THAN (MAXVALUE)
);

-- A log nobody gave a primary key; two equal rows are two page views.
CREATE TABLE `page_views` (
  `seen` DATETIME(3) NOT NULL,
  `session` BINARY(8) NOT NULL,
  `customer` INT UNSIGNED DEFAULT NULL,
  `path` VARCHAR(200) NOT NULL,
  `agent` VARCHAR(200) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL,
  `milliseconds` MEDIUMINT UNSIGNED NOT NULL,
  KEY `session` (`session`),
  KEY `seen` (`seen`)
) ENGINE=InnoDB;

-- Not transactional on purpose: a consistent snapshot does not cover it.
CREATE TABLE `search_log` (
  `id` INT UNSIGNED NOT NULL AUTO_INCREMENT,
  `at` TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  `words` VARCHAR(120) NOT NULL,
  `hits` INT UNSIGNED NOT NULL,
  PRIMARY KEY (`id`),
  KEY `words` (`words`(16))
) ENGINE = /*M! Aria */ /*!80013 MyISAM */;

CREATE TABLE `partners` (
  `id` INT NOT NULL,
  `name` VARCHAR(80) NOT NULL,
  `remark` TINYTEXT,
  `since` DATE DEFAULT NULL,
  `commission` DECIMAL(5,4) UNSIGNED ZEROFILL NOT NULL DEFAULT 0.0500,
  PRIMARY KEY (`id`)
) ENGINE=MyISAM DEFAULT CHARACTER SET latin1 COLLATE latin1_german1_ci;

CREATE TABLE `wish_lists` (
  `customer` INT UNSIGNED NOT NULL,
  `product` MEDIUMINT UNSIGNED NOT NULL,
  `added` DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (`customer`, `product`),
  KEY `product` (`product`),
  CONSTRAINT `wish_lists_customer` FOREIGN KEY (`customer`) REFERENCES `customers` (`id`) ON DELETE CASCADE,
  CONSTRAINT `wish_lists_product` FOREIGN KEY (`product`) REFERENCES `products` (`id`) ON DELETE CASCADE
) ENGINE=InnoDB COMMENT='planned; empty so far';

CREATE TABLE `audit` (
  `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  `at` TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
  `who` VARCHAR(200) NOT NULL,
  `action` ENUM('placed','changed','deleted') NOT NULL,
  `order_id` BIGINT UNSIGNED NOT NULL,
  `before_change` JSON DEFAULT NULL,
  `after_change` JSON DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `order_id` (`order_id`)
) ENGINE=InnoDB;
